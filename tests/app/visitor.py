"""The actions of a visitor of the shop in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

if TYPE_CHECKING:
    from collections.abc import Callable

    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement


class Visitor:
    """One open page of the shop. Every wait has a time limit, and its error says what did not appear."""

    def __init__(self, browser: Chrome, url: str) -> None:
        self.browser = browser
        self.browser.get(url)
        assert self.browser.title == "Shop", self.browser.page_source[:500]

    def _until(self, what: str, holds: Callable[[Chrome], bool | int]) -> None:
        WebDriverWait(self.browser, 120, poll_frequency=0.1).until(holds, what)

    def add(self, name: str) -> None:
        """Add an item through the form, and wait until the list shows it."""
        self.browser.find_element(By.ID, "name").send_keys(name)
        self.browser.find_element(By.ID, "add").click()
        self.sees(name)

    def sees(self, name: str) -> None:
        """Wait until the list shows an item."""
        self._until(f"the list shows {name}", lambda page: name in page.find_element(By.ID, "root").text)

    def reload(self) -> None:
        """Load the page again."""
        self.browser.refresh()

    def sees_two_ticks(self) -> None:
        """Wait until the page shows a message (a tick) from the WebSocket, and then a second one."""
        self._until("the WebSocket ticks", lambda _: self._tick())
        before = self._tick()
        self._until("the WebSocket ticks again", lambda _: self._tick() > before)

    def sees_no_connection(self) -> None:
        """Wait until the page says that its WebSocket is closed."""
        self._until("the WebSocket is closed", lambda _: self._ticks().get_attribute("data-open") == "false")

    def faults(self) -> list[str]:
        """Return the browser's messages about failed scripts and about content that a policy blocked."""
        lines = [str(line["message"]) for line in self.browser.get_log("browser")]
        return [line for line in lines if "Uncaught" in line or "Content Security Policy" in line]

    def _ticks(self) -> WebElement:
        return self.browser.find_element(By.ID, "ticks")

    def _tick(self) -> int:
        return int(self._ticks().get_attribute("data-tick") or 0)
