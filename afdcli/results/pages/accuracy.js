
// ---- figures as text
const minus = (text) => text.replace("-", "−");
const one = (value) => minus(value.toFixed(1));
const points = (share) => (share > 0 ? "+" : "") + one(100 * share);
const within = (low, high) => `${one(low)} to ${one(high)}`;
const upper = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const colour = (number) => `w${number % 6}`; // of the weights of this number, wherever they are shown
let run, measure, shownX = "quality", opened = new Set(), listed = 0;

// ---- a table that is sorted by a click on a head
// Each column has a name, a value to sort by, and gives what its cell shows; `fill` gives the elements of a row.
function sortable(id, columns, rows, fill) {
  const table = $(id), head = table.tHead.rows[0], body = table.tBodies[0];
  let sorted = null, downwards = false;
  const draw = () => {
    const order = rows();
    const key = (row) => { const value = sorted.value(row); return value === undefined || value === null ? null : value; };
    if (sorted) order.sort((a, b) => {
      const [left, right] = [key(a), key(b)];
      if (left === right) return 0;
      if (left === null || right === null) return left === null ? 1 : -1; // what has no value comes last
      return (left < right ? -1 : 1) * (downwards ? -1 : 1);
    });
    body.replaceChildren(...fill(order));
    columns.forEach((column, place) => {
      if (column === sorted) head.cells[place].setAttribute("aria-sort", downwards ? "descending" : "ascending");
      else head.cells[place].removeAttribute("aria-sort");
    });
  };
  head.replaceChildren(...columns.map((column) => {
    const cell = element("th", column.text ? "" : "number"), button = element("button", "", column.name);
    cell.scope = "col";
    if (column.title) button.title = column.title;
    button.onclick = () => {
      downwards = sorted === column ? !downwards : Boolean(column.downwards);
      sorted = column;
      draw();
    };
    cell.append(button);
    return cell;
  }));
  return draw;
}
function cells(columns, row) {
  return columns.map((column) => {
    const cell = element("td", column.text ? "" : "number"), shown = column.shown(row);
    cell.append(...(Array.isArray(shown) ? shown : [shown]));
    return cell;
  });
}

// ---- what it comes to
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const rowsOf = (weights) => run.rows.filter((row) => row.weights === weights);
function swatched(weights, text = run.weights[weights]) {
  const made = element("span", "swatched"), dot = element("span", `swatch ${colour(weights)}`);
  made.append(dot, text);
  return made;
}
function summary() {
  const [clean, ...damaged] = rowsOf(0).map((row) => row[measure]);
  const tile = (what, number, unit, below, weights) => {
    const made = element("div", `tile ${weights === undefined ? "" : colour(weights)}`), big = element("div", "big", number);
    big.append(element("small", "", ` ${unit}`));
    made.append(weights === undefined ? element("div", "", what) : swatched(weights, what), big, element("div", "what", below));
    return made;
  };
  const word = run.labelled ? "right class (top-1)" : "same class as undamaged";
  const tiles = run.labelled ? [tile("Undamaged", one(clean), "%", word)] : [];
  if (damaged.length) run.weights.forEach((name, number) => {
    const after = mean(rowsOf(number).slice(1).map((row) => row[measure])), lost = clean - mean(damaged);
    const [bounds, won] = [run.recovered[number], after - mean(damaged)];
    const share = lost > 0 ? `, ${one(100 * won / lost)} % of what is lost${bounds ? ` (${within(...bounds)})` : ""}` : "";
    tiles.push(tile(`Damaged, ${name}`, one(after), "%", number === 0
      ? `${word}, the mean of ${plural(damaged.length, "level")}: ${points((after - clean) / 100)} points`
      : `${points(won / 100)} points won back${share}`, number));
  });
  $("summary").replaceChildren(...tiles);
}

// ---- curves
function svg(name, attributes = {}, ...inside) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}
function curves() {
  const kinds = [...new Set(run.levels.slice(1).map((level) => level.kind))];
  const values = run.rows.flatMap((row) => [row[`${measure}_low`] ?? row[measure], row[`${measure}_high`] ?? row[measure]]);
  const step = Math.max(...values) - Math.min(...values) > 45 ? 20 : 10;
  const range = [Math.floor(Math.min(...values) / step) * step, Math.min(100, Math.ceil(Math.max(...values) / step) * step)];
  if (range[0] === range[1]) range[0] -= step;
  const width = Math.min({ 1: 1120, 2: 560 }[kinds.length] ?? 370, $("curves").clientWidth);
  $("curves").replaceChildren(...kinds.map((kind) => panel(kind, width, range, step)));
}
function panel(kind, width, [low, high], step) {
  const height = 300, [left, right, top, bottom] = [44, 16, 26, 42];
  const places = run.levels.map((level, place) => place).filter((place) => place === 0 || run.levels[place].kind === kind);
  const kilobytes = (place) => rowsOf(0)[place].kilobytes, scale = run.levels[places[1]].scale;
  const harm = (place) => (place === 0 ? -Infinity : scale === "quality" ? -run.levels[place].quality : run.levels[place].quality);
  places.sort((a, b) => (shownX === "size" ? kilobytes(b) - kilobytes(a) : harm(a) - harm(b)));
  const sizes = run.rows.map((row) => Math.log(row.kilobytes)), [least, most] = [Math.min(...sizes), Math.max(...sizes)];
  const across = width - left - right;
  const x = (place) => left + across * (shownX === "size" ? 0.03 + 0.94 * (most > least ? (most - Math.log(kilobytes(place))) / (most - least) : 0.5)
    : (places.indexOf(place) + 0.5) / places.length);
  const y = (value) => top + (height - top - bottom) * (high - value) / (high - low);
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": `${kind}: curves` });
  drawn.append(svg("text", { x: left, y: 14, class: "title" }, kind));
  for (let value = low; value <= high; value += step) drawn.append(svg("line", { x1: left, x2: width - right, y1: y(value), y2: y(value), class: "rule" }),
    svg("text", { x: left - 7, y: y(value) + 4, "text-anchor": "end" }, `${value} %`));
  let last = -Infinity;
  for (const place of places) {
    const word = shownX !== "size" && place === 0;  // is longer than a number, and leaves the next one its place
    const label = word ? "undamaged" : shownX === "size" ? `${kilobytes(place).toPrecision(2)}` : `${run.levels[place].quality}`;
    if (x(place) - last < (place === 0 || last === -Infinity ? 34 : 22)) continue;
    drawn.append(svg("text", { x: x(place) + (word ? 9 : 0), y: height - bottom + 18, "text-anchor": word ? "end" : "middle" }, label));
    last = x(place);
  }
  drawn.append(svg("text", { x: left + across / 2, y: height - 6, "text-anchor": "middle" }, shownX === "size" ? "kilobytes, the mean of a file" : scale));
  run.weights.forEach((name, number) => {
    const rows = rowsOf(number), group = svg("g", { class: colour(number) }), line = (key) => places.map((place) => `${x(place)},${y(rows[place][key])}`);
    if (rows[0][`${measure}_low`] !== undefined) group.append(svg("polygon", { class: "band", points: [...line(`${measure}_low`), ...line(`${measure}_high`).reverse()].join(" ") }));
    group.append(svg("polyline", { class: "curve", points: line(measure).join(" ") }));
    drawn.append(group);
  });
  places.forEach((place, order) => drawn.append(column(place, x(place), [
    order ? (x(places[order - 1]) + x(place)) / 2 : left, order < places.length - 1 ? (x(place) + x(places[order + 1])) / 2 : width - right], y, [top, height - bottom])));
  return drawn;
}
function column(place, x, [from, to], y, [top, bottom]) {
  const group = svg("g"), tell = [`${run.levels[place].name}, ${rowsOf(0)[place].kilobytes.toPrecision(3)} kB a file`, ...run.weights.map((name, number) => `${name}: ${figure(rowsOf(number)[place], number)}`)];
  group.append(svg("line", { x1: x, x2: x, y1: top, y2: bottom, class: "guide" }));
  run.weights.forEach((_, number) => group.append(svg("circle", { cx: x, cy: y(rowsOf(number)[place][measure]), r: 4, class: `dot ${colour(number)}` })));
  const area = svg("rect", { x: from, y: top, width: Math.max(0, to - from), height: bottom - top, class: "column", tabindex: 0, role: "img", "aria-label": tell.join("; ") });
  const show = () => { group.classList.add("here"); tip(area, tell); };
  const hide = () => { group.classList.remove("here"); $("tip").hidden = true; };
  area.addEventListener("pointerenter", show);
  area.addEventListener("pointerleave", hide);
  area.addEventListener("focus", show);
  area.addEventListener("blur", hide);
  group.append(area);
  return group;
}
function figure(row, number) {
  return `${one(row[measure])} %${interval(row, measure)}` + (number && row.difference !== undefined ? `, ${points(row.difference / 100)} points` : "");
}
function tip(by, lines) {
  const box = by.getBoundingClientRect(), shown = $("tip");
  shown.replaceChildren(...lines.map((line, number) => element(number ? "div" : "b", "", line)));
  shown.hidden = false;
  const left = Math.min(Math.max(8, box.left + box.width / 2 - shown.offsetWidth / 2), document.documentElement.clientWidth - shown.offsetWidth - 8);
  const above = box.top - shown.offsetHeight - 8;
  shown.style.left = `${left + scrollX}px`;
  shown.style.top = `${(above > 0 ? above : box.bottom + 8) + scrollY}px`;
}

// ---- classes, and the photos of them that flip
const surely = (hit) => Math.max(0, -hit.damaged[0][2]);
const gained = (hit) => Math.max(...hit.back.slice(1).map((back) => back[0]));
function classColumns() {
  const several = run.weights.length > 1;
  return [
    { name: "Class", text: true, value: (hit) => hit.label.toLowerCase(), shown: opener },
    { name: "Photos", downwards: true, value: (hit) => hit.count, shown: (hit) => hit.count.toLocaleString("en") },
    ...(run.labelled ? [{ name: "Undamaged, %", downwards: true, value: (hit) => hit.undamaged[0], shown: (hit) => one(100 * hit.undamaged[0]) }] : []),
    { name: "Change when damaged, points, from −100 to 0", text: true, value: (hit) => hit.damaged[0][0], shown: (hit) => whiskers(hit) },
    { name: "Surely lost", downwards: true, title: "The loss at the lower end of its interval. By this the worst-hit come first.", value: surely, shown: (hit) => one(100 * surely(hit)) },
    ...(several ? [{ name: "Won back", downwards: true, title: "The difference between the means over all levels of damage, from the first of the weights", value: gained,
      shown: (hit) => hit.back.slice(1).map((back, number) => { const line = element("div"); line.append(points(back[0]), element("small", "", ` (${within(100 * back[1], 100 * back[2])})`)); return line; }) }] : []),
    { name: "Photos that flip", downwards: true, value: (hit) => hit.lost, shown: (hit) => hit.lost.toLocaleString("en") },
  ];
}
function opener(hit) {
  const made = element("button", "opens", short(hit.label));
  made.title = hit.label;
  made.disabled = !hit.photos.length;
  made.setAttribute("aria-expanded", opened.has(hit));
  return made;
}
function whiskers(hit) {
  const made = element("div", "changes"), width = 200, x = (change) => 6 + (width - 12) * (change + 1) / 1.25; // from -1 to 0.25
  hit.damaged.forEach(([change, low, high], number) => {
    const y = 9, drawn = svg("svg", { width, height: 18, class: colour(number), "aria-hidden": true });
    for (const tick of [-1, -0.5, 0]) drawn.append(svg("line", { x1: x(tick), x2: x(tick), y1: 0, y2: 18, class: tick ? "rule" : "rule zero" }));
    drawn.append(svg("line", { x1: x(low), x2: x(Math.min(high, 0.25)), y1: y, y2: y, class: "whisker" }), svg("circle", { cx: x(change), cy: y, r: 4.5, class: "dot" }));
    made.append(drawn, element("span", "number", points(change)), element("small", "", `(${within(100 * low, 100 * high)})`));
  });
  made.title = run.weights.map((name, number) => `${name}: ${points(hit.damaged[number][0])}`).join("\n");
  return made;
}
function fillClasses(columns) {
  return (hits) => hits.slice(0, listed).flatMap((hit) => {
    const row = element("tr", "class");
    row.append(...cells(columns, hit));
    row.onclick = () => {
      if (!hit.photos.length) return;
      const is = !opened.delete(hit);
      if (is) { opened.add(hit); row.after(flips(hit, columns.length)); } else row.nextSibling.remove();
      row.querySelector(".opens").setAttribute("aria-expanded", is);
    };
    return opened.has(hit) ? [row, flips(hit, columns.length)] : [row];
  });
}
function flips(hit, across) {
  const row = element("tr", "flips"), cell = element("td"), key = element("p", "key"), cards = element("div", "cards");
  cell.colSpan = across;
  const back = hit.won.slice(1).map((won, number) => `${upper(run.weights[number + 1])}, ${won.toLocaleString("en")} of these ${won === 1 ? "is" : "are"} right at a level where ${won === 1 ? "it was" : "they were"} wrong.`);
  cell.append(element("p", "", [`${upper(run.weights[0])}, ${hit.lost.toLocaleString("en")} of ${plural(hit.count, "photo")} ${hit.lost === 1 ? "flips" : "flip"}: right undamaged, wrong at some level.`, ...back].join(" ")));
  for (const [name, text] of [["", run.labelled ? "right" : "as undamaged"], ["wrong", "another class"]]) {
    const entry = element("span");
    entry.append(element("i", name), text);
    key.append(entry);
  }
  key.append(element("span", "", "Each square is a level, undamaged first. Point at it for what was seen."));
  cards.append(...hit.photos.map((photo) => card(hit, photo)));
  cell.append(key, cards);
  const hidden = hit.flips - hit.photos.length;
  if (hidden) cell.append(element("p", "", `${plural(hidden, "more photo")} that flip${hidden === 1 ? "s" : ""} ${hidden === 1 ? "is" : "are"} not shown.`));
  row.append(cell);
  return row;
}
function card(hit, photo) {
  const made = element("div", "card"), picture = element("div", "picture"), turn = element("div", "turn");
  if (Object.hasOwn(data.pictures, photo.name)) { const image = element("img"); image.src = data.pictures[photo.name]; image.alt = photo.name; picture.append(image); } else picture.textContent = "The photo that was measured is not there any more.";
  const lost = photo.right.map((levels) => (levels[0] ? levels.flatMap((right, place) => (right ? [] : [place])) : []));
  const by = lost.findIndex((places) => places.length), first = lost[by][0];
  turn.append(short(photo.seen[by][0]), " → ", element("b", "", short(photo.seen[by][first])), ` at ${run.levels[first].name}`);
  made.append(picture, turn);
  photo.seen.forEach((seen, number) => made.append(strip(photo, number)));
  run.weights.forEach((name, number) => {
    if (!number) return;
    const back = lost[0].filter((place) => photo.right[number][place]).length;
    if (back) made.append(element("span", `badge ${colour(number)}`, `won back at ${back} of ${lost[0].length}`));
    else if (!lost[0].length && lost[number].length) made.append(element("span", `badge ${colour(number)}`, `lost only ${name}`));
  });
  const named = element("div", "named", photo.name);
  named.title = photo.name;
  made.append(named);
  return made;
}
function strip(photo, number) {
  const made = element("div", "strip");
  made.append(element("span", `swatch ${colour(number)}`));
  photo.seen[number].forEach((seen, place) => {
    const square = element("i", photo.right[number][place] ? "" : "wrong");
    square.onpointerenter = () => tip(square, [run.levels[place].name, `${run.weights[number]}: ${short(seen)}, ${photo.sure[number][place]} %`]);
    square.onpointerleave = () => { $("tip").hidden = true; };
    made.append(square);
  });
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", `${run.weights[number]}: ` + photo.seen[number].map((seen, place) => `${run.levels[place].name}: ${short(seen)}`).join("; "));
  return made;
}
function classes() {
  $("worst").hidden = !run.classes.length;
  if (!run.classes.length) return;
  opened = new Set(run.classes.slice(0, 1).filter((hit) => hit.photos.length));
  listed = 20;
  const columns = classColumns();
  const matching = () => run.classes.filter((hit) => hit.label.toLowerCase().includes($("find").value.toLowerCase()));
  const draw = sortable("classes", columns, matching, fillClasses(columns));
  const rest = () => {
    const count = matching().length;
    $("all-classes").hidden = count <= listed;
    $("all-classes").textContent = `Show all ${count.toLocaleString("en")}`;
  };
  $("find").oninput = () => { draw(); rest(); };
  $("all-classes").onclick = () => { listed = Infinity; draw(); rest(); };
  draw();
  rest();
}

// ---- all levels
const interval = (row, key) => { // of which either end may be missing: then there is none
  const [low, high] = [row[`${key}_low`], row[`${key}_high`]];
  return low === undefined || high === undefined ? "" : ` (${within(low, high)})`;
};
const bounded = (row, key) => [one(row[key]), element("small", "", interval(row, key))];
const COLUMNS = [
  ["top1", "Top-1, %", (row) => { const shown = bounded(row, "top1"); if (row.p_value < 0.05) shown[0] += "*"; return shown; }],
  ["top5", "Top-5, %"], ["difference", "Difference, points", (row) => points(row.difference / 100)],
  ["recovered", "Recovered, %", (row) => bounded(row, "recovered")], ["agreement", "Agreement, %"],
  ["nll", "Negative log-likelihood", (row) => row.nll.toFixed(3)], ["ece", "Calibration error, %"],
  ["kilobytes", "Kilobytes a file"], ["bits_per_pixel", "Bits a pixel", (row) => row.bits_per_pixel.toFixed(2)],
];
function levels() {
  const own = run.rows.map((row, number) => ({ ...row, place: number % run.levels.length }));
  const columns = [
    { name: "Level", text: true, value: (row) => row.place, shown: (row) => element("span", "swatched", run.levels[row.place].name) },
    ...(run.weights.length > 1 ? [{ name: "Weights", text: true, value: (row) => row.weights, shown: (row) => swatched(row.weights) }] : []),
    ...COLUMNS.filter(([key]) => own.some((row) => row[key] !== undefined)).map(([key, name, shown]) => ({
      name, downwards: true, value: (row) => row[key], shown: (row) => (row[key] === undefined ? "" : shown ? shown(row) : one(row[key])) })),
  ];
  sortable("levels", columns, () => [...own], (rows) => rows.map((row) => { const made = element("tr"); made.append(...cells(columns, row)); return made; }))();
}

// ---- begin
function show(number) {
  run = data.runs[number];
  measure = run.labelled ? "top1" : "agreement";
  $("find").value = "";
  for (const [place, button] of [...$("backbones").children].entries()) button.setAttribute("aria-pressed", place === number);
  $("about").textContent = `${document.title}: ${run.backbone}, ${plural(run.photos, "photo")}${run.failed ? ` (${run.failed.toLocaleString("en")} more could not be read)` : ""}, `
    + (run.order === "crop-first" ? "compressed after cropping, as the network sees them." : "compressed whole, at their own size.")
    + (run.labelled ? "" : " Their classes are not known, so what is measured is agreement: how many are seen as the same class as undamaged.");
  $("legend").replaceChildren(...run.weights.map((_, weights) => swatched(weights)));
  $("classes-about").textContent = `The change is from undamaged to the mean of all levels of damage, on the same photos, with an interval that holds with 95 % or more (Newcombe's, paired). `
    + (run.labelled ? "" : `A photo's class is what is seen in it undamaged, ${run.weights[0]}. `)
    + "First come classes that surely lose most; of many, the worst look somewhat worse than they are. Click on a class for the photos that flip.";
  const open = run.classes.filter((hit) => hit.photos.length).length, closed = run.classes.filter((hit) => hit.flips && !hit.photos.length).length;
  $("more").textContent = [run.more ? `${run.more.toLocaleString("en")} more are not listed.` : "",
    closed ? `Photos are shown of the ${open} worst-hit ${open === 1 ? "class" : "classes"}, not of ${plural(closed, "other")}.` : ""].filter(Boolean).join(" ");
  summary();
  curves();
  classes();
  levels();
}
if (data.runs.length > 1) $("backbones").append(...data.runs.map((one, number) => {
  const button = element("button", "", one.backbone);
  button.onclick = () => show(number);
  return button;
}));
function over(what) {
  shownX = what;
  $("by-quality").setAttribute("aria-pressed", what === "quality");
  $("by-size").setAttribute("aria-pressed", what === "size");
  curves();
}
$("by-quality").onclick = () => over("quality");
$("by-size").onclick = () => over("size");
addEventListener("resize", curves);
show(0);
