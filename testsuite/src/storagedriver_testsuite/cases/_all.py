"""All cases in one suite."""

from __future__ import annotations

from storagedriver_testsuite._suite import SuiteBase
from storagedriver_testsuite.cases.bodies import BodyCases
from storagedriver_testsuite.cases.budgets import BudgetCases
from storagedriver_testsuite.cases.cancelling import CancellingCases
from storagedriver_testsuite.cases.concurrency import ConcurrencyCases
from storagedriver_testsuite.cases.configuration import ConfigurationCases
from storagedriver_testsuite.cases.content import ContentCases
from storagedriver_testsuite.cases.copying import CopyCases
from storagedriver_testsuite.cases.crashes import CrashCases
from storagedriver_testsuite.cases.deleting import DeleteCases
from storagedriver_testsuite.cases.errors import ErrorCases
from storagedriver_testsuite.cases.faults import FaultCases
from storagedriver_testsuite.cases.layering import LayerCases
from storagedriver_testsuite.cases.listing import ListingCases
from storagedriver_testsuite.cases.model import ModelCases
from storagedriver_testsuite.cases.moving import MoveCases
from storagedriver_testsuite.cases.names import NameCases
from storagedriver_testsuite.cases.neighbours import NeighbourCases
from storagedriver_testsuite.cases.paging import PagingCases
from storagedriver_testsuite.cases.parts import PartCases
from storagedriver_testsuite.cases.processes import ProcessCases
from storagedriver_testsuite.cases.publishing import PublishingCases
from storagedriver_testsuite.cases.purging import PurgeCases
from storagedriver_testsuite.cases.ranges import RangeCases
from storagedriver_testsuite.cases.resources import ResourceCases
from storagedriver_testsuite.cases.resume import ResumeCases
from storagedriver_testsuite.cases.sessions import SessionCases
from storagedriver_testsuite.cases.stat import StatCases
from storagedriver_testsuite.cases.transport import TransportCases
from storagedriver_testsuite.cases.urls import UrlCases
from storagedriver_testsuite.cases.writers import WriterCases


# pytest runs what is inherited last first. The model comes last: what is wrong with one operation
# is told more plainly by a case about it.
class DriverSuite(
    ModelCases,
    LayerCases,
    NameCases,
    NeighbourCases,
    ContentCases,
    BodyCases,
    RangeCases,
    WriterCases,
    PartCases,
    ResumeCases,
    ProcessCases,
    PublishingCases,
    ListingCases,
    PagingCases,
    StatCases,
    MoveCases,
    CopyCases,
    DeleteCases,
    UrlCases,
    ConcurrencyCases,
    ErrorCases,
    ConfigurationCases,
    FaultCases,
    TransportCases,
    SessionCases,
    CancellingCases,
    CrashCases,
    ResourceCases,
    BudgetCases,
    PurgeCases,
    SuiteBase,
):
    """Every case. Subclass it and override the fixture `harness`.

    ```python
    class TestConformance(DriverSuite):
        @pytest.fixture
        def harness(self, tmp_path):
            return ExampleHarness(tmp_path)
    ```
    """
