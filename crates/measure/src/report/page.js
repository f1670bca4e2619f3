"use strict";
// Shows the figures of the column under the pointer, or the one chosen by the arrow keys.
for (const data of document.querySelectorAll("script[data-for]")) {
  const svg = document.getElementById(data.dataset.for);
  const chart = JSON.parse(data.textContent);
  if (!svg || chart.xs.length === 0) continue;
  const tip = document.getElementById("tip");
  const make = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return svg.appendChild(element);
  };
  let marks = [];
  let at = -1;
  const clear = () => {
    for (const mark of marks) mark.remove();
    marks = [];
    at = -1;
    tip.hidden = true;
  };
  const line = (text, colour) => {
    const row = tip.appendChild(document.createElement("div"));
    if (colour) row.appendChild(document.createElement("i")).className = colour;
    row.append(text);
  };
  const cell = (column, y) => {
    if (!chart.cells || y === undefined) return;
    const row = chart.cells.tops.findIndex((top) => top <= y);
    const found = chart.cells.counts[column].find(([index]) => index === row);
    if (row >= 0) line(`${chart.cells.names[row]}: ${(found ? found[1] : 0).toLocaleString("en")} values`);
  };
  const show = (column, y) => {
    clear();
    at = column;
    const [left, top, right, bottom] = chart.area;
    const x = chart.xs[column];
    marks.push(make("line", { class: "guide", x1: x, x2: x, y1: top, y2: bottom }));
    tip.replaceChildren(document.createElement("b"));
    tip.firstChild.textContent = chart.heads[column];
    for (const each of chart.lines) {
      if (each.ys[column] !== null && !chart.cells) {
        marks.push(make("circle", { class: `mark ${each.class}`, cx: x, cy: each.ys[column], r: 4 }));
      }
      line(`${each.name}: ${each.says[column]}`, each.class);
    }
    cell(column, y);
    tip.hidden = false;
    const box = svg.getBoundingClientRect();
    const scale = box.width / svg.viewBox.baseVal.width;
    const beside = x > (left + right) / 2 ? -tip.offsetWidth - 14 : 14;
    tip.style.left = `${Math.max(4, box.left + window.scrollX + x * scale + beside)}px`;
    tip.style.top = `${box.top + window.scrollY + (top + 6) * scale}px`;
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const x = (event.clientX - box.left) * scale;
    const y = (event.clientY - box.top) * scale;
    const [left, top, right, bottom] = chart.area;
    if (x < left - 4 || x > right + 4 || y < top - 4 || y > bottom + 4) return clear();
    let near = 0;
    chart.xs.forEach((each, i) => { if (Math.abs(each - x) < Math.abs(chart.xs[near] - x)) near = i; });
    show(near, y);
  });
  svg.addEventListener("pointerleave", clear);
  svg.addEventListener("blur", clear);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") clear();
    if (!step) return;
    event.preventDefault();
    show(Math.min(chart.xs.length - 1, Math.max(0, at + step)));
  });
}
