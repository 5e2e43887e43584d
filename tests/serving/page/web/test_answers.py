"""What the page reads by itself is what the service reads, and it says why."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

from helpers.hand import DIGITS, Open, draw
from mnist_digits.recognition import Classifier

COUNT = 200
READ = """async (drawings) => {
  const [{ classify }, { Network }, { encodeGrey }] = await Promise.all(
    ["recognition/classifier.js", "recognition/network.js", "png.js"].map((name) => import(`./js/${name}`)));
  const network = new Network(await (await fetch("v1/inside/reader.bin")).arrayBuffer());
  const canvas = Object.assign(document.createElement("canvas"), { width: 400, height: 300 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const found = [];
  for (const { strokes, width } of drawings) {
    Object.assign(context, { fillStyle: "#fff", lineWidth: width, lineCap: "round", lineJoin: "round" });
    context.fillRect(0, 0, 400, 300);
    for (const stroke of strokes) {
      context.beginPath();
      for (const point of stroke) context.lineTo(...point);
      context.stroke();
    }
    const values = Uint8Array.from(context.getImageData(0, 0, 400, 300).data.filter((_, i) => i % 4 === 0));
    const pixels = { width: 400, height: 300, values };
    const { prediction } = classify(network, pixels);
    const answer = await fetch("v1/predict", { method: "POST", body: await encodeGrey(pixels) });
    found.push([prediction, await answer.json()]);
  }
  return found;
}"""


def some_drawings(count: int) -> list[dict[str, Any]]:
    """Digits in many hands, sizes and pens: strokes in pixels of a pad of 400×300."""
    random = np.random.default_rng(0)
    drawings = []
    for number in range(count):
        width, height = random.uniform(20, 150), random.uniform(60, 200)
        shear, tremor = random.normal(0, 0.2), random.choice([0, 0.02, 0.08])
        strokes = []
        for stroke in DIGITS[number % 10]:
            points = np.array(stroke) - 0.5 + random.normal(0, tremor, (len(stroke), 2))
            points = points * (width, height) + (shear * points[:, 1:] * height * (1, 0))
            # Well within the pad: what its edge cuts off may be the paper's edge to the service.
            strokes.append(np.clip(points + np.array([200, 150]), 30, (370, 270)).tolist())
        drawings.append({"strokes": strokes, "width": float(random.uniform(5, 16))})
    return drawings


def test_drawings_are_read_in_the_page_as_by_the_service(look: Open):
    page = look()
    pairs = page.evaluate(READ, some_drawings(COUNT))
    for here, there in pairs:
        assert (here["digit"], here["reason"]) == (there["digit"], there["reason"])
        assert abs(here["confidence"] - there["confidence"]) <= 1e-3
        assert np.abs(np.subtract(here["probabilities"], there["probabilities"])).max() <= 1e-3
    digits = [here["digit"] for here, _ in pairs]
    # Most are digits, not all are plain, and some are doubtful.
    assert sum(digit == number % 10 for number, digit in enumerate(digits)) > 0.8 * COUNT
    assert min(here["confidence"] for here, _ in pairs) < 0.9


def shares(page: Page) -> tuple[float, float]:
    """The sum of what speaks for and against, and the change of the score that it is to explain."""
    data = page.locator("#shares").evaluate("canvas => ({ ...canvas.dataset })")
    return float(data["sum"]), float(data["change"])


def pixels(page: Page, canvas: str) -> np.ndarray:
    """What a grey canvas shows: uint8 (h, w)."""
    content = page.locator(canvas).evaluate("canvas => canvas.toDataURL()").partition(",")[2]
    return np.array(Image.open(io.BytesIO(base64.b64decode(content))).convert("L"))


def test_the_inside_explains_the_network_that_answers(look: Open):
    page = look()
    draw(page, 7)
    expect(page.locator("#inside-title")).to_have_text("Why a 7? Look inside")
    expect(page.locator("#shares-say")).to_contain_text("against a 7")
    total, change = shares(page)
    assert change > 5
    assert abs(total - change) < 0.1 * change + 0.3
    # Asked about another digit, it speaks more against than for.
    page.get_by_role("group", name="Ask about").get_by_role("button", name="4").click()
    expect(page.locator("#shares-say")).to_contain_text("against a 4")
    total, change = shares(page)
    assert change < 0
    assert abs(total - change) < 0.1 * abs(change) + 0.3
    assert page.locator("#maps .layer").count() == 4
    expect(page.locator("#maps h4").first).to_contain_text("of 32 maps, 12×12")
    expect(page.locator("#simple-says")).to_contain_text("has not given the answer")

    # The simple network's votes add up; the largest are shown, in order.
    expect(page.locator("#units canvas")).to_have_count(128)
    votes = {
        kind: [float(text.replace("−", "-")) for text in page.locator(f"#{kind} span").all_inner_texts()]
        for kind in ("for", "against")
    }
    assert votes["for"] == sorted(votes["for"], reverse=True)
    assert votes["against"] == sorted(votes["against"])
    assert len(votes["for"]) == 5
    assert votes["for"][0] > 0 > votes["against"][0]
    words = page.locator("#tally").inner_text().replace("−", "-").split()
    assert float(words[2]) >= sum(votes["for"]) - 0.3
    assert float(words[4]) >= -sum(votes["against"]) - 0.3
    bright = page.locator("#units > div").evaluate_all(
        "items => items.map(item => Number(item.style.getPropertyValue('--activation')))"
    )
    assert max(bright) == 1
    for unit in page.locator("#for > div").evaluate_all("items => items.map(item => item.dataset.unit)"):
        assert bright[int(unit)] > 0

    # Few pixels turn it into another digit, and the slider takes them back.
    page.get_by_label("Turn it into").select_option("2")
    page.get_by_role("button", name="Fool it").click()
    expect(page.locator("#fooled-says")).to_contain_text("pixels changed: a 2")
    slider = page.get_by_role("slider", name="Changed pixels")
    count = int(slider.input_value())
    assert 0 < count < 60
    changed = pixels(page, "#attacked")
    slider.fill("0")
    expect(page.locator("#fooled-says")).to_contain_text("0 of 784 pixels changed: a 7")
    before = pixels(page, "#attacked")
    assert 0 < (before != changed).sum() <= count
    # What the page says of the changed image is what the classifier says.
    judged = Classifier().judge(np.stack([before, changed]))
    assert judged.digits == [7, 2]
    copies = page.locator("#copies span").all_inner_texts()
    assert len(copies) == 10
    assert "thicker: 7" in " ".join(copies)

    # Nothing of it stays when the pad is cleared.
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#inside-title")).to_have_text("Why? Look inside")
    expect(page.locator("#shares-say")).to_contain_text("Draw something")
    expect(page.locator("#tally")).to_contain_text("Draw something")
    expect(page.locator("#maps-card")).to_have_class("card idle")
    expect(page.locator("#for > div")).to_have_count(0)
    assert page.locator("#fooled").is_hidden()
    assert page.locator("#copies").is_hidden()
