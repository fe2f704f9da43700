"""The web page in Chromium: what a person does, and what they see."""

import os
import shutil

import httpx
import pytest
from server_process import wait_for

webdriver = pytest.importorskip("selenium.webdriver", reason="the page's tests need selenium")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM = next((x for x in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if x), None)
DRIVER = shutil.which("chromedriver")
QUESTION = "What is the capital of France?"


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM or not DRIVER:
        pytest.skip("the page's tests need Chromium and its driver (apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1000,800"):
        options.add_argument(argument)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield browser
    browser.quit()


@pytest.fixture
def page(browser, onnx_server):
    browser.set_window_size(1000, 800)
    browser.get(onnx_server.url)
    page = Page(browser)
    wait_for(lambda: page.text("#model") == "pocket")
    yield page
    complaints = [x["message"] for x in browser.get_log("browser") if x["level"] in ("SEVERE", "WARNING")]
    assert complaints == []


class Page:
    """What is found on it."""

    def __init__(self, browser):
        self.browser = browser

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.one(selector).text

    def ask(self, text):
        self.one("#text").send_keys(text + Keys.ENTER)
        self.wait_until_idle()
        figures = self.all(".figures")
        assert figures and all(x.text for x in figures)

    def wait_until_idle(self):
        """Until the answers ended: a page that is busy takes no other message."""
        wait_for(lambda: self.one("#send").is_displayed())

    def answers(self):
        return [x.text for x in self.all(".answer > .text")]

    def gates(self, answer=0):
        tokens = self.all(".answer")[answer].find_elements(By.CSS_SELECTOR, ":scope > .text .token")
        return [float(x.get_attribute("data-gate")) for x in tokens]


def test_an_answer_with_its_gates(page):
    page.ask(QUESTION)
    assert page.answers() == ["The capital of France is Paris."]
    gates = page.gates()
    assert len(gates) == 7 and max(gates) > 0.5 > min(gates)
    colours = {x.value_of_css_property("background-color") for x in page.all(".answer > .text .token")}
    assert len(colours) >= len({round(gate, 1) for gate in gates}) > 1, "different gates have different colours"
    assert "tokens/s" in page.text(".figures") and "table rows read" in page.text(".figures")
    strongest = page.all(".answer > .text .token")[gates.index(max(gates))]
    strongest.click()
    told = page.text(".inspector")
    assert "layer 1: gate" in told and "5-gram" in told and "rows " in told
    strongest.send_keys(Keys.ARROW_RIGHT)
    assert page.text(".inspector") != told
    page.one("#layer").send_keys("layer 2")
    assert page.gates() != gates
    page.one(".prompt summary").click()
    assert "capital" in page.text(".prompt .text")


def test_without_memory_and_both_side_by_side(page):
    page.one("#memory").click()
    page.ask(QUESTION)
    assert page.answers() != ["The capital of France is Paris."]
    assert set(page.gates()) == {0.0} and "0 table rows read" in page.text(".figures")
    page.one("#new").click()
    page.one("#both").click()
    page.ask(QUESTION)
    with_memory, without = page.answers()
    assert with_memory == "The capital of France is Paris." != without
    assert [x.text for x in page.all(".title")] == ["with memory", "without memory"]
    left, right = (x.rect for x in page.all(".answer"))
    assert left["y"] == right["y"] and left["x"] < right["x"]


def test_stop(page, onnx_server):
    page.one("#settings-button").click()
    page.one("#temperature").send_keys("100")
    page.one("#max_tokens").send_keys("900")
    page.one("#seed").send_keys("1")
    # A slow line: the answer would take half a minute, so it cannot end before the click.
    page.browser.set_network_conditions(offline=False, latency=0, throughput=10_000)
    try:
        page.one("#text").send_keys(QUESTION + Keys.ENTER)
        wait_for(lambda: page.answers() and page.answers()[0])
        page.one("#stop").click()
        page.wait_until_idle()
    finally:
        page.browser.delete_network_conditions()
    assert page.text(".error") == "stopped" and not page.one("#stop").is_displayed()
    wait_for(lambda: httpx.get(f"{onnx_server.url}/health").json()["slots_busy"] == 0)


def test_regenerate_edit_and_a_second_turn(page):
    page.ask(QUESTION)
    page.ask("What is the capital of Japan?")
    assert page.answers()[1] == "The capital of Japan is Tokyo."
    page.all(".bar button")[2].click()  # Regenerate
    page.wait_until_idle()
    assert len(page.answers()) == 2 and page.answers()[1] == "The capital of Japan is Tokyo."
    page.all(".bar button")[1].click()  # Edit the first
    assert page.one("#text").get_attribute("value") == QUESTION and page.all(".turn") == []
    page.one("#text").clear()
    page.ask("What is the capital of Spain?")
    assert page.answers() == ["The capital of Spain is Madrid."]


def test_a_long_chat_drops_its_oldest_turns(page):
    """As the chat in a terminal does: the pocket model follows 160 tokens."""
    for place in ["France", "Japan", "Spain", "Peru", "Italy", "Egypt", "Kenya", "Norway"]:
        page.ask(f"What is the capital of {place}?")
    assert page.answers()[-1] == "The capital of Norway is Oslo."
    assert "oldest of its turns" in page.all(".note")[-1].text


def test_what_anybody_writes_is_text(page):
    page.ask("<img src=x onerror=\"document.title='taken'\"><b>bold</b>")
    assert page.text(".question") == "<img src=x onerror=\"document.title='taken'\"><b>bold</b>"
    assert page.all("main img, main b, main script") == [] and "taken" not in page.browser.title


def test_errors_are_shown(page):
    page.one("#settings-button").click()
    page.one("#top_p").send_keys("7")
    page.one("#text").send_keys(QUESTION + Keys.ENTER)
    page.wait_until_idle()
    assert "top_p: Input should be less than or equal to 1" in page.text(".error")
    page.browser.get_log("browser")  # Chromium notes every 400


def test_a_narrow_screen(page):
    page.browser.set_window_size(500, 700)  # the least that Chromium takes; what is below is set on the page
    page.browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 340, "height": 640, "deviceScaleFactor": 1, "mobile": True}
    )
    page.one("#both").click()
    page.ask(QUESTION)
    width = page.browser.execute_script("return document.documentElement.scrollWidth")
    assert width <= 340, "nothing sticks out"
    top, bottom = (x.rect for x in page.all(".answer"))
    assert top["x"] == bottom["x"] and top["y"] < bottom["y"]
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_nothing_on_it_comes_from_elsewhere(onnx_server):
    for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")):
        response = httpx.get(f"{onnx_server.url}{path}")
        assert response.headers["content-type"].startswith(kind)
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "unsafe" not in response.headers["content-security-policy"]
        assert "http://" not in response.text.replace("http://www.w3.org", "") and "https://" not in response.text
        assert "innerHTML" not in response.text
