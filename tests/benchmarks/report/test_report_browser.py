"""The report in a real browser, headless: no error, no request, and everything that can be clicked works."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airtune.benchmarks.paper.plans import PARTS
from airtune.benchmarks.paper.protocol import Options
from airtune.benchmarks.paper.running import checked_protocols, chosen_parts, run_part
from airtune.benchmarks.report import Density, write_report
from airtune.benchmarks.report.paper import write_paper_report, write_part
from airtune.benchmarks.running.plan import Plan
from airtune.benchmarks.running.runner import run_suite
from tests.benchmarks.hostile import hostile_study
from tests.benchmarks.programs_study import programs_study

PLAN = Plan("toy", methods=("lm", "random", "default+tpe"), seeds=2, budget=6, model="scripted")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = os.environ.get("AIRTUNE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium, or set AIRTUNE_CHROMIUM)")
    from playwright.sync_api import sync_playwright

    # Its driver is spoken to through pipes, and unix sockets stay open under tests/conftest.py: nothing to allow.
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        running = playwright.chromium.launch(executable_path=found, args=arguments, timeout=120_000)
        yield running
        running.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("reports")
    run_suite(PLAN, out / "bench", jobs=1)
    return {
        "comparison": write_report(out / "bench")[0],
        "study": write_report(out / "bench", study="toy/branin/lm/seed=001")[0],
        "density": write_report(
            out / "bench", out / "density", study="toy/branin/lm/seed=000", density=Density(budget=100)
        )[0],
        "hostile": write_report(hostile_study(out / "evil.airtune"))[0],
        "programs": write_report(programs_study(out / "programs.airtune"))[0],
        "paper": paper(out / "paper"),
    }


def paper(out: Path) -> Path:
    """A page of two parts of the paper, as a dry run makes it."""
    for protocol in checked_protocols(
        chosen_parts(["toy", "validity"]), Options(("scripted",), "toy", 2, 1), 1
    ):
        write_part(run_part(protocol, out / protocol.part.name, jobs=1))
    return write_paper_report(out)


class Watched:
    """A page whose every message and request is kept; whatever is not the file itself is refused."""

    def __init__(self, browser: Any, path: Path, width: int = 1200, scheme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.context.set_default_timeout(120_000)  # a busy machine is no failure
        self.page = self.context.new_page()
        self.messages: list[str] = []
        self.requests: list[str] = []
        own = path.resolve().as_uri()
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.messages.append("dialog"), dialog.dismiss()))

        def route(it: Any) -> None:
            if it.request.url == own:
                it.continue_()
            else:
                self.requests.append(it.request.url)
                it.abort()

        self.page.route("**/*", route)
        self.page.goto(own)

    def __enter__(self) -> Any:
        return self.page

    def __exit__(self, *error: object) -> None:
        self.context.close()
        if error[0] is None:
            assert self.messages == []
            assert self.requests == []


def test_a_page_that_misbehaves_is_noticed(browser: Any, tmp_path: Path) -> None:
    """The control: a message, a request, or a script that the policy forbids fails the other tests."""
    policy = '<meta http-equiv="Content-Security-Policy" content="script-src \'sha256-AAAA\'">'
    for bad in ("<script>console.error(1)</script>", "<img src='other.png'>", f"{policy}<script>1</script>"):
        (tmp_path / "bad.html").write_text(f"<!DOCTYPE html><html><head>{bad}</head></html>")
        with pytest.raises(AssertionError), Watched(browser, tmp_path / "bad.html"):
            pass


@pytest.mark.parametrize("name", ["comparison", "study", "density", "hostile", "programs", "paper"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_message_and_no_request(browser: Any, pages: dict[str, Path], name: str, scheme: str) -> None:
    with Watched(browser, pages[name], scheme=scheme) as page:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        assert page.locator("h1").is_visible()
        assert page.locator("svg").count() >= 2
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, paper[4:-1].split(","))) < 200) == (scheme == "dark")


@pytest.mark.parametrize("name", ["comparison", "study", "density", "hostile", "programs", "paper"])
@pytest.mark.parametrize("width", [360, 390, 768])
def test_no_page_scrolls_sideways(browser: Any, pages: dict[str, Path], name: str, width: int) -> None:
    with Watched(browser, pages[name], width=width) as page:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.body.scrollWidth") <= width


def test_tables_sort_by_a_click_on_a_head(browser: Any, pages: dict[str, Path]) -> None:
    with Watched(browser, pages["comparison"]) as page:
        for table in page.locator("table:visible").all():
            for column in range(table.locator("th").count()):
                for wanted in ("ascending", "descending"):
                    table.locator("th button").nth(column).click()
                    assert table.locator("th").nth(column).get_attribute("aria-sort") == wanted
                    keys = table.locator(f"tbody tr td:nth-child({column + 1})").evaluate_all(
                        "cells => cells.map(cell => cell.dataset.v)"
                    )
                    known = [key for key in keys if key != ""]
                    assert keys[: len(known)] == known  # what is not there stays last
                    numbers = [float(key) for key in known] if _numbers(known) else None
                    order = numbers if numbers is not None else [key.lower() for key in known]
                    assert order == sorted(order, reverse=wanted == "descending")  # type: ignore[type-var]


def _numbers(keys: list[str]) -> bool:
    try:
        return bool([float(key) for key in keys])
    except ValueError:
        return False


def test_one_number_of_evaluations_is_shown_everywhere(browser: Any, pages: dict[str, Path]) -> None:
    with Watched(browser, pages["comparison"]) as page:
        for key in ("2", "5", "6"):
            page.locator(".tabs button", has_text=key).first.click()
            shown = page.locator(".panel:visible").evaluate_all("panels => panels.map(p => p.dataset.key)")
            assert shown == [key] * 4
            pressed = page.locator(".tabs button[aria-pressed=true]").all_text_contents()
            assert pressed == [key] * 5  # those that are folded too


def test_the_theme_can_be_changed_and_is_remembered(browser: Any, pages: dict[str, Path]) -> None:
    with Watched(browser, pages["comparison"]) as page:
        button = page.locator("#theme")
        colours = []
        for theme in ("auto", "light", "dark"):
            assert button.text_content() == theme
            colours.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            button.click()
        assert colours[0] == colours[1] != colours[2]
        assert button.text_content() == "auto"
        button.click()
        page.reload()
        assert button.text_content() == "light"


@pytest.mark.parametrize("name", ["comparison", "study", "density", "hostile", "programs", "paper"])
def test_anchors_lead_somewhere(browser: Any, pages: dict[str, Path], name: str) -> None:
    with Watched(browser, pages[name]) as page:
        targets = page.locator("a[href^='#']").evaluate_all("links => links.map(a => a.getAttribute('href'))")
        assert targets
        for target in targets:
            assert page.evaluate("id => document.getElementById(id) !== null", target[1:])
        page.locator("nav a").last.click()
        assert page.evaluate("window.scrollY") > 0


def test_a_folded_study_opens_by_its_address(browser: Any, pages: dict[str, Path]) -> None:
    with Watched(browser, pages["comparison"]) as page:
        folded = page.locator(".shown").nth(2)
        assert folded.get_attribute("open") is None
        page.evaluate("id => { location.hash = id }", folded.get_attribute("id"))
        page.wait_for_function("document.querySelectorAll('.shown')[2].open")
        folded.locator(".proposal > summary").first.click()
        assert folded.locator(".tokens li").first.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_the_model_believed_is_drawn_in_the_page(
    browser: Any, pages: dict[str, Path], scheme: str
) -> None:
    """A figure in each of the model's proposals, in the page's own colours; no two things have the same id."""
    with Watched(browser, pages["density"], scheme=scheme) as page:
        assert page.locator(".proposal .plot svg").count() == PLAN.budget
        ids = page.locator("[id]").evaluate_all("all => all.map(one => one.id)")
        assert len(ids) == len(set(ids))
        page.locator(".proposal > summary").nth(3).click()
        figure = page.locator(".proposal").nth(3).locator("svg")
        assert figure.is_visible()
        assert "trial 3" in figure.text_content()
        assert figure.locator("text", has_text="uniform").count() > 0
        accent = page.evaluate(
            "getComputedStyle(document.documentElement).getPropertyValue('--accent').trim()"
        )
        assert figure.locator("path[style*='var(--accent)']").count() > 0
        assert accent == {"light": "#0a62b0", "dark": "#6ab4ff"}[scheme]


def test_trajectories_are_played_and_printed_whole(browser: Any, pages: dict[str, Path]) -> None:
    with Watched(browser, pages["paper"]) as page:
        shown = "document.querySelectorAll('circle.point:not(.later)').length"
        panels = 6 * 5  # functions, methods
        assert page.locator(".landscapes svg").count() == panels
        assert page.evaluate(shown) == 2 * panels
        page.locator(".player input").fill("1")
        assert page.evaluate(shown) == panels
        assert page.locator(".player output").text_content() == "1 of 2 evaluations"
        assert page.locator("circle.now").count() == panels
        page.locator(".player button").click()
        assert page.locator(".player button").text_content() == "Pause"
        page.locator(".player button", has_text="Play").wait_for()
        assert page.evaluate(shown) == 2 * panels
        page.locator(".player input").fill("1")
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert page.evaluate(shown) == 2 * panels
        assert page.locator("details:not([open])").count() == 0
        page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert page.locator("details[open]").count() == 0
        ids = page.locator("[id]").evaluate_all("all => all.map(one => one.id)")
        assert len(ids) == len(set(ids))


def test_the_first_screen_has_a_line_for_every_part(browser: Any, pages: dict[str, Path]) -> None:
    with Watched(browser, pages["paper"]) as page:
        lines = page.locator(".verdict")
        assert lines.count() == len(PARTS)
        assert lines.last.evaluate("one => one.getBoundingClientRect().bottom") < 900  # without scrolling
        signs = page.locator("a.verdict .sign").evaluate_all(
            "all => all.map(one => one.getAttribute('aria-label'))"
        )
        assert signs == ["the paper gives no figure, or ours has no interval", "better than the paper"]
