"use strict";
// Cuts the sheets of images apart and makes what turns them over. Without it the page shows the sheets as they are.
const make = (name, parts = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(parts)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};

const cutter = (sheet, rows, columns) => {
  const width = sheet.naturalWidth / columns, height = sheet.naturalHeight / rows;
  return (canvas, row, column) => {
    canvas.width = Math.round(width);
    canvas.height = Math.round(height);
    canvas.getContext("2d").drawImage(sheet, column * width, row * height, width, height, 0, 0, canvas.width, canvas.height);
    return canvas;
  };
};

const cell = (cut, row, column, words) => cut(make("canvas", { role: "img", "aria-label": words }), row, column);

const samples = (figure, sheet, says) => {
  const cut = cutter(sheet, says.rows, says.columns);
  const near = make("div", { class: "near" });
  const said = make("p", { class: "note", role: "status" });
  const buttons = Array.from({ length: says.rows }, (_, row) => {
    const picture = cut(make("canvas", { "aria-hidden": "true" }), row, 0);
    return make("button", { type: "button", "aria-label": `Sample ${row + 1}`, tabindex: "-1" }, picture);
  });
  const grid = make("div", { class: "samples", role: "group", "aria-label": figure.dataset.title }, ...buttons);
  const group = (title, row, first, count) => {
    const pictures = Array.from({ length: count }, (_, place) => {
      const distance = says.distances[row][first + place - 1].toFixed(2);
      return make("li", {}, cell(cut, row, first + place, `${title}, ${place + 1}`), make("small", {}, distance));
    });
    return make("div", {}, make("h4", {}, title), make("ol", {}, ...pictures));
  };
  const choose = (row) => {
    buttons.forEach((button, place) => button.setAttribute("aria-pressed", String(place === row)));
    const own = make("li", {}, cell(cut, row, 0, `Sample ${row + 1}`), make("small", {}, "\u00a0"));
    near.replaceChildren(
      make("div", { class: "own" }, make("h4", {}, `Sample ${row + 1}`), make("ol", {}, own)),
      group("Nearest training images", row, 1, says.train),
      group("Samples most like it", row, 1 + says.train, says.alike),
    );
    const nearest = says.distances[row][0];
    said.textContent = `Sample ${row + 1}: the training image nearest to it is at ${nearest.toFixed(2)}, ${nearest < 1 ? "nearer" : "no nearer"} than training images lie to each other there; a copy is at 0.`;
  };
  const reach = (place) => {
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
    if (there >= 0 && there <= last) reach(there).focus();
  });
  buttons.forEach((button, row) => button.addEventListener("click", () => { reach(row); choose(row); }));
  reach(0);
  choose(0);
  figure.append(grid, near, said);
};

const walk = (figure, sheet, says) => {
  const cut = cutter(sheet, says.rows, says.columns), middle = (says.columns - 1) / 2;
  const canvases = Array.from({ length: says.rows }, () => make("canvas", { role: "img" }));
  const names = canvases.map((_, row) => (says.axes ? `coordinate ${says.axes[row]}` : `way ${row + 1}`));
  const rows = canvases.map((canvas, row) => make("li", {}, canvas, make("small", {}, names[row])));
  const slider = make("input", { type: "range", min: 0, max: says.columns - 1, step: 1, "aria-label": figure.dataset.title });
  const told = make("output");
  const words = (frame) => (says.reach
    ? `${((frame / middle - 1) * says.reach).toFixed(2).replace("-", "\u2212")} spreads`
    : `${Math.round((100 * frame) / (says.columns - 1))} % of the way`);
  const turn = () => {
    const frame = Number(slider.value);
    canvases.forEach((canvas, row) => cut(canvas, row, frame).setAttribute("aria-label", `${names[row]} at ${words(frame)}`));
    told.textContent = words(frame);
    slider.setAttribute("aria-valuetext", words(frame));
  };
  slider.addEventListener("input", turn);
  slider.value = String(Math.round(middle));
  turn();
  figure.append(make("ol", { class: "frames" }, ...rows), make("div", { class: "slide" }, slider, told));
};

for (const figure of document.querySelectorAll("figure[data-says]")) {
  const holder = figure.querySelector(".sheet"), sheet = figure.querySelector("img");
  sheet.decode().then(() => {
    (figure.classList.contains("neighbours") ? samples : walk)(figure, sheet, JSON.parse(figure.dataset.says));
    holder.hidden = true;
  });
}
