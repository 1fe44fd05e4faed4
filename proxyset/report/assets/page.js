"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const tip = document.getElementById("tip");

// Words of a point, and everything on the page that is about the same.
const light = (key) => {
  for (const one of all(".lit")) one.classList.remove("lit");
  if (key) for (const one of all("[data-key]")) one.classList.toggle("lit", one.dataset.key === key);
};
const point = (event) => {
  const target = event.target.closest("[data-tip], [data-key]");
  light(target && target.dataset.key);
  tip.hidden = !(target && target.dataset.tip);
  if (tip.hidden) return;
  tip.textContent = target.dataset.tip;
  const box = target.getBoundingClientRect(), own = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(box.left + 12, innerWidth - own.width - 4)) + "px";
  tip.style.top = (box.top > own.height + 12 ? box.top - own.height - 8 : box.bottom + 8) + "px";
};
document.addEventListener("pointerover", point);
document.addEventListener("click", point);
document.addEventListener("scroll", () => { tip.hidden = true; }, true);

// Tables sort by the column whose title is pressed; numbers start with the largest, what has none comes last.
const number = (cell) => cell.dataset.order === undefined ? NaN : Number(cell.dataset.order);
for (const button of all("th button")) button.addEventListener("click", () => {
  const head = button.parentElement, place = head.cellIndex, body = head.closest("table").tBodies[0];
  const numeric = head.classList.contains("number"), before = head.getAttribute("aria-sort");
  const up = before ? before === "descending" : !numeric;
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const compare = (one, two) => {
    const [a, b] = [one.cells[place], two.cells[place]];
    if (!numeric) return (up ? 1 : -1) * a.textContent.localeCompare(b.textContent, undefined, { numeric: true });
    const [x, y] = [number(a), number(b)];
    return isNaN(x) || isNaN(y) ? isNaN(x) - isNaN(y) : (up ? x - y : y - x);
  };
  body.append(...[...body.rows].sort(compare));
});
for (const input of all(".filter input")) input.addEventListener("input", () => {
  const wanted = input.value.toLowerCase();
  for (const row of all("tbody tr", input.closest(".table"))) row.hidden = !row.textContent.toLowerCase().includes(wanted);
});

// A slider shows one of its pictures; a legend hides a series.
for (const slider of all(".slider")) {
  const input = slider.querySelector("input"), frames = all(".frames figure", slider);
  const show = () => {
    frames.forEach((frame, place) => { frame.hidden = place !== Number(input.value); });
    input.setAttribute("aria-valuetext", frames[input.value].textContent.trim());
  };
  input.addEventListener("input", show);
  show();
}
for (const plot of all(".plot")) all(".legend button", plot).forEach((button, place) => button.addEventListener("click", () => {
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", on);
  all(".series", plot)[place].style.display = on ? "" : "none";
}));
