"""The pages in a real browser: with a mouse, with a keyboard, without scripts, small and dark."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from registry.tests.authentication import write_users
from registry.tests.browser import Browser, Tab
from registry.tests.client import Repository, sha256
from registry.tests.pages import SBOM, SOURCE, push_everything
from registry.tests.processes import ServerProcess, our_server, running
from registry.tests.test_page_content import HOSTILE, every_text
from servers.chromium import Chromium

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "images"
SIZES = {"wide": (1100, 900), "narrow": (360, 900)}
USER = ("alice", "wonderland")


@pytest.fixture(scope="module")
def browser(chromium: Chromium) -> Iterator[Browser]:
    browser = Browser(chromium.url)
    yield browser
    browser.close()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """A tab; at the end the browser must not have complained of anything."""
    with browser.tab() as tab:
        tab.set_size(*SIZES["wide"])
        yield tab
        assert tab.failures() == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    # Pictures name the registry, and ports differ.
    settings = {"http": {"host": "https://registry.example"}}
    with running(our_server(tmp_path_factory.mktemp("site"), settings)) as server:
        yield server


def client(site: ServerProcess) -> httpx.Client:
    """Give a client that finds the registry where it is, and not where its URLs say."""
    there = httpx.URL(site.url)

    def lead(request: httpx.Request) -> None:
        request.url = request.url.copy_with(scheme="http", host=there.host, port=there.port)

    return httpx.Client(base_url=site.url, event_hooks={"request": [lead]})


@pytest.fixture(scope="module")
def digests(site: ServerProcess) -> dict[str, str]:
    with client(site) as http:
        for name in ("library/base", "team/worker", "tools/lint"):
            Repository(http, name).push_image("v1")
        hostile = {**every_text(HOSTILE), "mediaType": "application/x.hostile"}
        del hostile["manifests"]  # what is both an image and an index is refused
        pushed = Repository(http, "odd/texts").push_manifest(hostile, "v1")
        assert pushed.status_code == 201, pushed.text
        return push_everything(http)


def test_links_lead_from_repositories_to_a_referrer(
    tab: Tab, site: ServerProcess, digests: dict[str, str]
) -> None:
    tab.open(site.url)
    assert tab.text("h1") == "Repositories"
    assert "team/app" in tab.texts(".list a")
    tab.follow('a[href="/repositories/team/app"]')
    assert tab.texts("tbody th") == ["1.0", "1.1", "latest"]
    tab.follow('a[href$=":latest"]')
    assert tab.text("h1") == "team/app:latest"
    assert tab.texts("tbody th")[:2] == ["linux/amd64", "linux/arm64/v8"]
    tab.follow(f'a[href$="{digests["arm64"]}"]')
    assert "APP_MODE=production" in tab.text()
    assert "3.4 MiB" in tab.text()
    assert tab.look("document.querySelector('td data').title") == "3,456,789 bytes"
    assert tab.look(f"document.querySelector('a[href=\"{SOURCE}\"]').rel")
    tab.follow('header a[href="/repositories/team/app"]')
    tab.follow('a[href$=":latest"]')
    tab.follow(f'a[href$="{digests["sbom"]}"]')
    assert SBOM in tab.text()
    assert "app.sbom.json" in tab.text()
    tab.follow(f'dl a[href$="{digests["index"]}"]')
    assert digests["index"] in tab.text()


def test_page_can_be_read_without_scripts(
    tab: Tab, site: ServerProcess, digests: dict[str, str]
) -> None:
    tab.disable_scripts()
    tab.open(f"{site.url}/?prefix=team")
    assert tab.texts(".list a") == ["team/app", "team/worker"]
    tab.follow('a[href="/repositories/team/app"]')
    tab.follow('a[href$=":1.0"]')
    assert "docker pull registry.example/team/app:1.0" in tab.text()
    # Nothing is offered that would do nothing.
    assert tab.texts("button") == ["Copy"] * 4
    assert tab.look("document.querySelectorAll('button:not([hidden])').length") == 0
    assert tab.look("document.querySelector('button').checkVisibility()") is False


def test_button_copies_the_command(tab: Tab, site: ServerProcess, digests: dict[str, str]) -> None:
    tab.allow_clipboard()
    tab.open(f"{site.url}/repositories/team/app:1.1")
    tab.look(
        """(() => {
            window.labels = [];
            const button = document.querySelector("#pull ~ .labelled button");
            const note = () => window.labels.push(button.innerText);
            new MutationObserver(note).observe(button, {childList: true});
        })()"""
    )
    tab.click("#pull ~ .labelled button")
    tab.until("document.querySelector('#copied').innerText === 'Copied'")
    copied = tab.look("navigator.clipboard.readText()")
    assert copied == "docker pull registry.example/team/app:1.1"
    assert tab.until("window.labels", lambda labels: len(labels) == 2) == ["Copied", "Copy"]
    assert tab.look("document.activeElement.innerText") == "Copy"


def test_button_copies_where_the_browser_has_no_clipboard(
    tab: Tab, site: ServerProcess, digests: dict[str, str]
) -> None:
    """So it is over plain http, but at the loopback."""
    tab.allow_clipboard()
    tab.open(f"{site.url}/repositories/team/app:1.0")
    tab.look("window.clipboard = navigator.clipboard; 0")
    tab.look("Object.defineProperty(navigator, 'clipboard', {value: undefined}); 0")
    tab.click("#pull ~ .labelled button")
    tab.until("document.querySelector('#copied').innerText === 'Copied'")
    copied = tab.look("window.clipboard.readText()")
    assert copied == "docker pull registry.example/team/app:1.0"


def test_keyboard_reaches_the_content_and_the_filter(
    tab: Tab, site: ServerProcess, digests: dict[str, str]
) -> None:
    tab.open(site.url)
    tab.press("Tab")
    assert tab.look("document.activeElement.innerText") == "Skip to content"
    assert tab.look("document.activeElement.getBoundingClientRect().width") > 50
    tab.press("Enter")
    tab.until("document.activeElement.id === 'content'")
    tab.press("Tab")
    assert tab.look("document.activeElement.id") == "prefix"
    tab.write("library/")
    with tab.leaving():
        tab.press("Enter")
    assert tab.texts(".list a") == ["library/base"]
    assert tab.look("document.querySelector('#prefix').value") == "library/"


def test_parts_of_pages_are_named_for_who_does_not_see_them(
    tab: Tab, site: ServerProcess, digests: dict[str, str]
) -> None:
    for path in ("/", "/repositories/team/app", "/repositories/team/app:1.0", "/nowhere"):
        if path != "/nowhere":
            tab.open(site.url + path)
        for part in ("header nav[aria-label]", "main", "footer", "h1", "html[lang]", "title"):
            assert tab.look(f"document.querySelectorAll('{part}').length") == 1, (path, part)
        for nameless in (
            "table:not(:has(caption))",
            "th:not([scope])",
            "input:not([id])",
            "button[data-copy]:not([aria-label])",
            "nav:not([aria-label])",
        ):
            assert tab.look(f"document.querySelectorAll('{nameless}').length") == 0, nameless


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_told_from_what_is_behind_them(
    tab: Tab, site: ServerProcess, digests: dict[str, str], scheme: str
) -> None:
    """Source: WCAG 2.2, "Contrast (Minimum)": 4.5 to 1."""
    tab.set_scheme(scheme)
    tab.open(f"{site.url}/repositories/team/app@{digests['amd64']}")
    contrasts = tab.look(
        """(() => {
            const channels = (text) => text.match(/[\\d.]+/g).map(Number);
            const light = ([r, g, b]) => {
                const [x, y, z] = [r, g, b].map((c) => c / 255).map(
                    (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
                return 0.2126 * x + 0.7152 * y + 0.0722 * z;
            };
            const back = (each) => {
                const color = channels(getComputedStyle(each).backgroundColor);
                return color[3] === 0 && each.parentElement ? back(each.parentElement) : color;
            };
            const words = [...document.querySelectorAll("body *")].filter((each) =>
                [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
            return words.map((each) => {
                const pair = [light(channels(getComputedStyle(each).color)), light(back(each))];
                return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
            });
        })()"""
    )
    assert len(contrasts) > 50
    assert min(contrasts) >= 4.5
    background = tab.look("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.mark.parametrize("width", [320, 360, 1100])
def test_nothing_is_wider_than_the_window(
    tab: Tab, site: ServerProcess, digests: dict[str, str], width: int
) -> None:
    tab.set_size(width, 800)
    for path in (
        *(
            "/",
            "/repositories/team/app",
            "/repositories/team/app:1.0",
            "/repositories/odd/texts:v1",
        ),
        *(f"/repositories/team/app@{digests[one]}" for one in ("amd64", "sbom")),
    ):
        tab.open(site.url + path)
        tab.look("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert tab.look("document.documentElement.scrollWidth") <= width, path


def test_hostile_texts_run_nothing(tab: Tab, site: ServerProcess, digests: dict[str, str]) -> None:
    tab.open(f"{site.url}/repositories/odd/texts:v1")
    assert "<script>alert(1)</script>" in tab.text()
    assert tab.look("document.scripts.length") == 1
    assert tab.look("document.images.length") == 0


def test_policy_forbids_what_escaping_would_let_through(
    browser: Browser, site: ServerProcess, digests: dict[str, str]
) -> None:
    with browser.tab() as tab:
        tab.open(site.url)
        tab.look(
            """(() => {
                const main = document.querySelector("main");
                main.innerHTML = '<img src=x onerror="window.ran = 1">';
                const script = document.createElement("script");
                script.src = "/assets/copy.js?again";
                script.onload = () => { window.ran = 2; };
                const inline = document.createElement("script");
                inline.textContent = "window.ran = 3;";
                main.append(script, inline);
                script.onerror = () => { window.refused = true; };
                return 0;
            })()"""
        )
        tab.until("window.refused")
        assert tab.look("window.ran === undefined")
        assert any("Content Security Policy" in text for text in tab.failures())


def test_manifest_that_calls_itself_a_page_runs_nothing(
    browser: Browser, site: ServerProcess, digests: dict[str, str]
) -> None:
    document = b'{"mediaType": "text/html", "x": "<script>document.title = 1</script><p>seen</p>"}'
    with client(site) as http:
        assert Repository(http, "odd/page").push_manifest(document, "v1").status_code == 201
    with browser.tab() as tab:
        tab.open(f"{site.url}/v2/odd/page/manifests/{sha256(document)}")
        assert "seen" in tab.text("body")
        assert tab.look("document.title") == ""


def test_browser_logs_in_once(tab: Tab, browser: Browser, tmp_path: Path) -> None:
    users = write_users(tmp_path / "users", dict([USER]))
    auth = {"auth": {"htpasswd": {"realm": "registry", "path": str(users)}}}
    with running(our_server(tmp_path, auth)) as server:
        with httpx.Client(base_url=server.url, auth=USER) as http:
            push_everything(http)
        with browser.tab() as stranger:
            stranger.open(server.url)
            assert "name and a password" in stranger.text()
            assert "team/app" not in stranger.text()
        tab.open(server.url.replace("://", f"://{USER[0]}:{USER[1]}@"))
        assert "logged in as alice" in tab.text("footer").lower()
        tab.follow('a[href="/repositories/team/app"]')
        tab.follow('a[href$=":latest"]')
        assert tab.text("h1") == "team/app:latest"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_pictures(
    tab: Tab,
    site: ServerProcess,
    digests: dict[str, str],
    request: pytest.FixtureRequest,
    size: str,
    scheme: str,
) -> None:
    tab.set_size(*SIZES[size])
    tab.set_scheme(scheme)
    tab.open(f"{site.url}/repositories/team/app:latest")
    picture = tab.picture()
    assert picture.startswith(b"\x89PNG")
    assert struct.unpack(">II", picture[16:24]) == SIZES[size]
    path = PICTURES / f"page-{size}-{scheme}.png"
    if request.config.getoption("write_screenshots"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture)
    # The documentation's is of this page, whatever has become of its details since.
    assert struct.unpack(">II", path.read_bytes()[16:24]) == SIZES[size]
