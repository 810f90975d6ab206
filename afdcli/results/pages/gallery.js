
// ---- the gallery
const photos = data.photos.map((row, number) => ({ number, ...row }));
const good = photos.filter((photo) => !photo.error), bad = photos.filter((photo) => photo.error);
const grid = $("grid"), canvas = $("canvas"), large = $("large");
const WIDTH = 196, HEIGHT = 228, SPARE = 2; // a card with its gap, and rows kept ready above and below
let shown = [], here = 0, across = 1;
const chosen = new Set(), cards = new Map(), unused = [];

const best = (photo) => photo.classes[0] ?? ["", null];

// ---- which photos, in which order
function limits(name) {
  const number = (id) => ($(id).value === "" ? null : Number($(id).value));
  const [least, most] = [number(`${name}-least`), number(`${name}-most`)];
  return (value) => (least === null && most === null) ||
    (value !== null && value !== undefined && (least === null || value >= least) && (most === null || value <= most));
}
const compare = (value) => (a, b) => {
  const [left, right] = [value(a), value(b)];
  if (left === right) return a.number - b.number;
  if (left === null || left === undefined) return 1; // what has no value comes last
  if (right === null || right === undefined) return -1;
  return left < right ? -1 : 1;
};
const ORDERS = {
  row: (photo) => photo.number, prob: (photo) => best(photo)[1], "-prob": (photo) => -best(photo)[1],
  label: (photo) => best(photo)[0], name: (photo) => photo.name, quality: (photo) => photo.quality,
  "-drift": (photo) => (photo.drift === null || photo.drift === undefined ? null : -photo.drift),
};
function filter() {
  const text = $("name").value.toLowerCase(), label = $("label").value;
  const [prob, quality, drift] = [limits("prob"), limits("quality"), limits("drift")];
  shown = good.filter((photo) => (!text || photo.name.toLowerCase().includes(text)) &&
    (!label || best(photo)[0] === label) && prob(best(photo)[1]) && quality(photo.quality) && drift(photo.drift));
  shown.sort(compare(ORDERS[$("order").value]));
  here = 0;
  grid.scrollTop = 0;
  $("count").textContent = shown.length === good.length ? plural(good.length, data.what)
    : `${shown.length.toLocaleString("en")} of ${plural(good.length, data.what)}`;
  lay();
}

// ---- the grid: only the cards in sight exist
function lay() {
  across = Math.max(1, Math.floor((grid.clientWidth - 16) / WIDTH));
  canvas.style.height = `${Math.ceil(shown.length / across) * HEIGHT + 16}px`;
  for (const card of cards.values()) retire(card);
  cards.clear();
  draw();
}
function retire(card) { card.remove(); card.querySelector("img").removeAttribute("src"); unused.push(card); }
function draw() {
  const first = Math.max(0, Math.floor(grid.scrollTop / HEIGHT) - SPARE) * across;
  const end = Math.min(shown.length, (Math.ceil((grid.scrollTop + grid.clientHeight) / HEIGHT) + SPARE) * across);
  for (const [place, card] of cards) if (place < first || place >= end) { cards.delete(place); retire(card); }
  for (let place = first; place < end; place++) if (!cards.has(place)) cards.set(place, fill(unused.pop() ?? blank(), place));
  for (const [place, card] of cards) mark(card, place);
}
function blank() {
  const card = element("div", "card"), picture = element("div", "picture");
  picture.append(element("img"), element("span"));
  card.append(picture, element("div", "what"), element("div", "facts"), element("div", "named"), element("input"));
  card.lastChild.type = "checkbox";
  card.lastChild.tabIndex = -1;
  card.lastChild.setAttribute("aria-label", "Select this photo");
  return card;
}
function fill(card, place) {
  const photo = shown[place], [label, share] = best(photo);
  const [picture, what, facts, named] = card.children, [image, missing] = picture.children;
  card.dataset.place = place;
  card.style.transform = `translate(${8 + (place % across) * WIDTH}px, ${8 + Math.floor(place / across) * HEIGHT}px)`;
  image.hidden = !photo.thumb;
  if (photo.thumb) image.src = photo.thumb;
  image.alt = photo.name;
  missing.textContent = photo.thumb ? "" : "The photo was not found where it was classified.";
  what.textContent = photo.other ? `${short(label)} → ${short(photo.other[0]?.[0] ?? "not read")}` : short(label);
  facts.textContent = [photo.other ? `${percent(share)} → ${percent(photo.other[0]?.[1])}` : percent(share),
    photo.quality ? `q ${photo.quality}` : "", typeof photo.drift === "number" ? `drift ${photo.drift.toFixed(0)}` : ""]
    .filter(Boolean).join(" · ");
  named.textContent = photo.name;
  what.title = label;
  named.title = photo.name;
  canvas.append(card);
  return card;
}
function mark(card, place) {
  const isChosen = chosen.has(shown[place].number);
  card.classList.toggle("here", place === here);
  card.classList.toggle("chosen", isChosen);
  card.lastChild.checked = isChosen;
}
function go(place) {
  if (!shown.length) return;
  here = Math.min(Math.max(place, 0), shown.length - 1);
  const above = Math.floor(here / across) * HEIGHT;
  if (above < grid.scrollTop) grid.scrollTop = above;
  if (above + HEIGHT + 16 > grid.scrollTop + grid.clientHeight) grid.scrollTop = above + HEIGHT + 16 - grid.clientHeight;
  draw();
  if (large.open) open();
}
function choose(place) {
  const { number } = shown[place];
  if (!chosen.delete(number)) chosen.add(number);
  selection();
}
function selection() {
  $("selection").classList.toggle("any", chosen.size > 0);
  $("selected").textContent = `${chosen.size.toLocaleString("en")} selected.`;
  draw();
}

// ---- one photo large
function open() {
  const photo = shown[here];
  if (!photo) return;
  const image = large.querySelector("img"), caption = large.querySelector("figcaption");
  image.onerror = () => { image.onerror = null; image.src = photo.thumb; };
  image.hidden = !photo.large;
  if (photo.large) image.src = photo.large; else image.removeAttribute("src");
  image.alt = photo.name;
  caption.replaceChildren(element("h2", "", photo.name), ...table(data.name, photo.classes));
  if (photo.other) caption.append(...table(data.other, photo.other));
  for (const fact of [`${photo.format ?? ""} ${photo.width} × ${photo.height}`, photo.quality && `JPEG quality ${photo.quality}`,
    typeof photo.drift === "number" && `drift ${photo.drift}`, `${here + 1} of ${shown.length}`]) if (fact) caption.append(element("p", "", fact));
  if (!large.open) large.showModal();
}
function table(title, classes) {
  const found = element("table"), body = element("tbody");
  for (const [label, share] of classes) {
    const row = element("tr");
    row.append(element("td", "", label), element("td", "", percent(share)));
    body.append(row);
  }
  found.append(body);
  return data.other ? [element("p", "", title), found] : [found];
}

// ---- saving
function save(name, text, kind) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([text], { type: kind }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : `${value}`);
const taken = () => photos.filter((photo) => chosen.has(photo.number));
$("save-csv").onclick = () => save("selection.csv", ["path,label_1,prob_1",
  ...taken().map((photo) => [photo.name, ...best(photo)].map((value) => quoted(value ?? "")).join(","))].join("\n") + "\n", "text/csv");
// A list for `xargs -d '\n'`, or `afd classify -`; the paths are those on the disk where they are known.
$("save-list").onclick = () => save("selection.txt", taken().map((photo) => `${photo.path ?? photo.name}\n`).join(""), "text/plain");
$("clear").onclick = () => { chosen.clear(); selection(); };

// ---- events
function page(errors) {
  $("errors").hidden = !errors;
  grid.hidden = $("filters").hidden = errors;
  $("filters").style.display = grid.style.display = errors ? "none" : "";
  $("show-errors").setAttribute("aria-pressed", errors);
  $("show-photos").setAttribute("aria-pressed", !errors);
  $("count").hidden = errors;
  if (!errors) lay();
}
$("show-photos").onclick = () => page(false);
$("show-errors").onclick = () => page(true);
$("filters").addEventListener("input", filter);
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("filters").addEventListener("reset", () => setTimeout(filter));
let waiting = false;
grid.addEventListener("scroll", () => {
  if (!waiting) requestAnimationFrame(() => { waiting = false; draw(); });
  waiting = true;
}, { passive: true });
canvas.addEventListener("click", (event) => {
  const card = event.target.closest(".card");
  if (!card) return;
  here = Number(card.dataset.place);
  grid.focus({ preventScroll: true });
  if (event.target.type === "checkbox" || event.ctrlKey || event.metaKey) choose(here); else { draw(); open(); }
});
large.addEventListener("click", (event) => { if (event.target === large) large.close(); });
new ResizeObserver(() => { if (!grid.hidden) lay(); }).observe(grid);
const MOVES = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: () => -across, ArrowDown: () => across,
  PageUp: () => -across * Math.floor(grid.clientHeight / HEIGHT), PageDown: () => across * Math.floor(grid.clientHeight / HEIGHT),
  Home: () => -shown.length, End: () => shown.length };
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.matches("input, select")) { event.preventDefault(); $("name").focus(); return; }
  if (event.target.matches("input:not([type=checkbox]), select")) {
    if (event.key === "Escape" || event.key === "Enter") { event.preventDefault(); grid.focus(); }
    return;
  }
  if (event.target.matches("button") || grid.hidden) return;
  if (MOVES[event.key]) { event.preventDefault(); go(here + MOVES[event.key]()); }
  else if (event.key === "Enter" && !large.open) { event.preventDefault(); open(); }
  else if (event.key === " " || event.key === "x") { event.preventDefault(); if (shown.length) choose(here); }
});

// ---- begin
$("show-photos").textContent = plural(good.length, data.what);
$("show-errors").textContent = `${bad.length.toLocaleString("en")} not read`;
$("show-errors").disabled = !bad.length;
$("drift").hidden = !photos.some((photo) => typeof photo.drift === "number");
if ($("drift").hidden) { $("drift").style.display = "none"; $("order").querySelector("[value='-drift']").remove(); }
const counts = new Map();
for (const photo of good) counts.set(best(photo)[0], (counts.get(best(photo)[0]) ?? 0) + 1);
const option = (value, text) => { const made = element("option", "", text); made.value = value; return made; };
$("label").append(option("", "all"), ...[...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
  .map(([label, count]) => option(label, `${label} (${count})`)));
for (const photo of bad) {
  const row = element("tr");
  row.append(element("td", "", photo.name), element("td", "", photo.error));
  $("errors").querySelector("tbody").append(row);
}
filter();
grid.focus();
