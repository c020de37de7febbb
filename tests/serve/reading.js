// What a page is for whoever cannot see it, or sees little: an object of questions about it.
(() => {
  const seen = (one) => {
    const box = one.getBoundingClientRect();
    const style = getComputedStyle(one);
    return box.width > 0 && box.height > 0 && style.visibility !== "hidden" && !one.closest("[hidden]");
  };
  return {
    // Controls without a name.
    nameless() {
      const words = (one) => (one?.textContent ?? "").trim();
      const name = (one) =>
        (one.getAttribute("aria-label") ?? "").trim()
        || (one.getAttribute("aria-labelledby") ?? "").split(" ")
          .map((id) => words(document.getElementById(id))).join(" ").trim()
        || [...(one.labels ?? [])].map(words).join(" ").trim()
        || words(one);
      const controls = "button, a[href], input, select, textarea, summary, progress, dialog[open], "
        + "[role=slider], [role=tab], [tabindex='0'], canvas[role=img]";
      return [...document.querySelectorAll(controls)]
        .filter((one) => seen(one) && !name(one)).map((one) => one.outerHTML.slice(0, 120));
    },
    // [level, words] of each heading.
    headings() {
      return [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].filter(seen)
        .map((one) => [Number(one.tagName[1]), one.textContent.trim()]);
    },
    // Ids that stand twice.
    twice() {
      const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
      return ids.filter((id, place) => ids.indexOf(id) !== place);
    },
    // What points to an id that is not there.
    dangling() {
      const told = [];
      for (const name of ["aria-labelledby", "aria-describedby", "aria-controls"]) {
        for (const one of document.querySelectorAll(`[${name}]`)) {
          for (const id of one.getAttribute(name).split(" ")) {
            if (!document.getElementById(id)) told.push(`${name}=${id}`);
          }
        }
      }
      return told;
    },
    // Text against what is behind it, as WCAG 2 has it: 4.5, and 3 for large letters. Controls that
    // are off are exempt, and so is what is hidden from readers.
    faint() {
      const pen = Object.assign(document.createElement("canvas"), {width: 1, height: 1})
        .getContext("2d", {willReadFrequently: true});
      const rgba = (colour) => {
        pen.clearRect(0, 0, 1, 1);
        pen.fillStyle = colour;
        pen.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
      };
      const over = (top, under) => top.slice(0, 3).map((value, n) => value * top[3] + under[n] * (1 - top[3]));
      const behind = (one) => {
        const layers = [];
        for (let at = one; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
        return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
      };
      const light = (rgb) => rgb.map((value) => value / 255)
        .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
        .reduce((sum, value, n) => sum + value * [0.2126, 0.7152, 0.0722][n], 0);
      const told = [];
      const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (walk.nextNode()) {
        const one = walk.currentNode.parentElement;
        if (!walk.currentNode.textContent.trim() || !seen(one)) continue;
        if (one.closest("[aria-hidden=true], [aria-disabled=true], :disabled, .unseen, script, noscript")) continue;
        let through = 1;
        for (let at = one; at; at = at.parentElement) through *= Number(getComputedStyle(at).opacity);
        if (through === 0) continue;
        const style = getComputedStyle(one);
        const ground = behind(one);
        const ink = rgba(style.color);
        ink[3] *= through;
        const [a, b] = [light(over(ink, ground)), light(ground)].sort((p, q) => q - p);
        const contrast = (a + 0.05) / (b + 0.05);
        const size = parseFloat(style.fontSize);
        const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
        if (contrast >= (large ? 3 : 4.5)) continue;
        told.push(`${contrast.toFixed(2)}: ${walk.currentNode.textContent.trim().slice(0, 40)}`);
      }
      return told;
    },
    // What is wider than the page.
    wider() {
      const wide = document.documentElement.clientWidth;
      const told = [...document.querySelectorAll("body *")].filter((one) => {
        const box = one.getBoundingClientRect();
        if (!box.width || box.right <= wide + 1 || getComputedStyle(one).position === "fixed") return false;
        for (let at = one.parentElement; at; at = at.parentElement) {
          if (["auto", "scroll", "hidden"].includes(getComputedStyle(at).overflowX)) return false;
        }
        return !one.closest(".unseen");
      }).map((one) => one.outerHTML.slice(0, 100));
      return {wide, scrolls: document.documentElement.scrollWidth, told};
    },
    // Where the focus is, and whether that can be seen; radios that are drawn by their text show it there.
    focus() {
      const at = document.activeElement;
      const drawn = [at, at.nextElementSibling].filter(Boolean);
      const shown = drawn.some((one) => {
        const style = getComputedStyle(one);
        return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1.5;
      });
      return {
        tag: at.tagName.toLowerCase(),
        name: at.getAttribute("aria-label") || at.value || at.textContent.trim(),
        id: at.id, type: at.type ?? "", role: at.getAttribute("role") ?? "", shown,
      };
    },
  };
})()
