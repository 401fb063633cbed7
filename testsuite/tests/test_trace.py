"""What `strace` writes, as system calls."""

from __future__ import annotations

from pathlib import Path

from storagedriver_testsuite._trace import SystemCall, read_calls

LOG = """\
10 fsync(3</d/a>) = 0
10 io_submit(0x7f00, 3, [{aio_data=0, aio_lio_opcode=IOCB_CMD_FSYNC, aio_fildes=4</d/b>}, \
{aio_data=0x1, aio_lio_opcode=IOCB_CMD_FSYNC, aio_fildes=5</d>}, \
{aio_data=0x2, aio_lio_opcode=IOCB_CMD_PWRITE, aio_fildes=6</d/c>, aio_buf="x"}]) = 3
10 io_getevents(0x7f00, 3, 64,  <unfinished ...>
11 renameat(7</d>, "b", 7</d>, "c") = 0
11 fsync(9</d/none>) = -1 EIO (Input/output error)
10 <... io_getevents resumed>[{data=0x1, obj=0x5600, res=0, res2=0}, \
{data=0, obj=0x5640, res=-5, res2=0}, {data=0x2, obj=0x5680, res=1, res2=0}], NULL) = 3
"""


def test_syncs_of_the_kernels_queue_last_until_they_are_told_of(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(LOG)
    assert read_calls(log) == [
        SystemCall("fsync", 3, "/d/a", (), 0, 0),
        SystemCall("renameat", 7, "/d", ("/d/b", "/d/c"), 3, 3),
        # That of /d/b has failed.
        SystemCall("fsync", 5, "/d", (), 1, 5),
    ]
