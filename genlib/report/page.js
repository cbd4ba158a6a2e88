"use strict";
// Cuts the contact sheets apart and makes them interactive. Without this script the page shows the sheets as they are.
const createElement = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};

const cellDrawer = (sheet, rows, columns) => {
  const width = sheet.naturalWidth / columns, height = sheet.naturalHeight / rows;
  return (canvas, row, column) => {
    canvas.width = Math.round(width);
    canvas.height = Math.round(height);
    canvas.getContext("2d").drawImage(sheet, column * width, row * height, width, height, 0, 0, canvas.width, canvas.height);
    return canvas;
  };
};

const cell = (drawCell, row, column, label) => drawCell(createElement("canvas", { role: "img", "aria-label": label }), row, column);

const chooseSample = (figure, sheet, metadata) => {
  const drawCell = cellDrawer(sheet, metadata.rows, metadata.columns);
  const near = createElement("div", { class: "near" });
  const status = createElement("p", { class: "note", role: "status" });
  const buttons = Array.from({ length: metadata.rows }, (_, row) => {
    const picture = drawCell(createElement("canvas", { "aria-hidden": "true" }), row, 0);
    return createElement("button", { type: "button", "aria-label": `Sample ${row + 1}`, tabindex: "-1" }, picture);
  });
  const grid = createElement("div", { class: "samples", role: "group", "aria-label": figure.dataset.title }, ...buttons);
  const group = (title, row, first, count) => {
    const pictures = Array.from({ length: count }, (_, place) => {
      const distance = metadata.distances[row][first + place - 1].toFixed(2);
      return createElement("li", {}, cell(drawCell, row, first + place, `${title}, ${place + 1}`), createElement("small", {}, distance));
    });
    return createElement("div", {}, createElement("h4", {}, title), createElement("ol", {}, ...pictures));
  };
  const choose = (row) => {
    buttons.forEach((button, place) => button.setAttribute("aria-pressed", String(place === row)));
    const own = createElement("li", {}, cell(drawCell, row, 0, `Sample ${row + 1}`), createElement("small", {}, "\u00a0"));
    near.replaceChildren(
      createElement("div", { class: "own" }, createElement("h4", {}, `Sample ${row + 1}`), createElement("ol", {}, own)),
      group("Nearest training images", row, 1, metadata.train),
      group("Samples most like it", row, 1 + metadata.train, metadata.alike),
    );
    const nearest = metadata.distances[row][0];
    status.textContent = `Sample ${row + 1}: the training image nearest to it is at ${nearest.toFixed(2)}, ${nearest < 1 ? "nearer" : "no nearer"} than training images lie to each other there; a copy is at 0.`;
  };
  const focusable = (place) => {
    buttons.forEach((button) => { button.tabIndex = -1; });
    buttons[place].tabIndex = 0;
    return buttons[place];
  };
  const across = () => Math.max(1, buttons.findIndex((button) => button.offsetTop > buttons[0].offsetTop));
  const steps = { ArrowRight: () => 1, ArrowLeft: () => -1, ArrowDown: across, ArrowUp: () => -across() };
  grid.addEventListener("keydown", (event) => {
    const here = buttons.indexOf(document.activeElement), last = buttons.length - 1;
    const there = { Home: 0, End: last }[event.key] ?? here + (steps[event.key]?.() ?? NaN);
    if (Number.isNaN(there)) return;
    event.preventDefault();
    if (there >= 0 && there <= last) focusable(there).focus();
  });
  buttons.forEach((button, row) => button.addEventListener("click", () => { focusable(row); choose(row); }));
  focusable(0);
  choose(0);
  figure.append(grid, near, status);
};

const showFrames = (figure, sheet, metadata) => {
  const drawCell = cellDrawer(sheet, metadata.rows, metadata.columns), middle = (metadata.columns - 1) / 2;
  const canvases = Array.from({ length: metadata.rows }, () => createElement("canvas", { role: "img" }));
  const names = canvases.map((_, row) => (metadata.axes ? `coordinate ${metadata.axes[row]}` : `way ${row + 1}`));
  const rows = canvases.map((canvas, row) => createElement("li", {}, canvas, createElement("small", {}, names[row])));
  const slider = createElement("input", { type: "range", min: 0, max: metadata.columns - 1, step: 1, "aria-label": figure.dataset.title });
  const output = createElement("output");
  const label = (frame) => (metadata.reach
    ? `${((frame / middle - 1) * metadata.reach).toFixed(2).replace("-", "\u2212")} spreads`
    : `${Math.round((100 * frame) / (metadata.columns - 1))} % of the way`);
  const show = () => {
    const frame = Number(slider.value);
    canvases.forEach((canvas, row) => drawCell(canvas, row, frame).setAttribute("aria-label", `${names[row]} at ${label(frame)}`));
    output.textContent = label(frame);
    slider.setAttribute("aria-valuetext", label(frame));
  };
  slider.addEventListener("input", show);
  slider.value = String(Math.round(middle));
  show();
  figure.append(createElement("ol", { class: "frames" }, ...rows), createElement("div", { class: "slide" }, slider, output));
};

for (const figure of document.querySelectorAll("figure[data-metadata]")) {
  const holder = figure.querySelector(".sheet"), sheet = figure.querySelector("img");
  sheet.decode().then(() => {
    (figure.classList.contains("neighbours") ? chooseSample : showFrames)(figure, sheet, JSON.parse(figure.dataset.metadata));
    holder.hidden = true;
  });
}
