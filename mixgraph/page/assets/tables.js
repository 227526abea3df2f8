/* A table whose columns sort by a click or a key: columns of {title, help, value(row), cell(row), kind}. */
function sortable(columns, rows, caption) {
  const body = make("tbody"), heads = columns.map((c) => make("th", { scope: "col", class: c.kind === "wide" ? null : c.kind, title: c.help, "aria-sort": "none" }));
  const lines = rows.map((row) => ({ row, line: make("tr", {}, ...columns.map((c, i) => make(i ? "td" : "th", { scope: i ? null : "row", class: c.kind, dir: c.kind === "number" ? null : "auto" }, c.cell ? c.cell(row) : shown(c.value(row))))) }));
  let keep = () => true, by = -1, up = true;
  const before = (a, b) => {
    const x = columns[by].value(a.row), y = columns[by].value(b.row);
    if (empty(x) || empty(y)) return empty(x) - empty(y); // unknown values are last, whatever the order
    return (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true })) * (up ? 1 : -1);
  };
  const refresh = () => {
    const left = lines.filter((l) => keep(l.row));
    if (by >= 0) left.sort(before);
    body.replaceChildren(...left.map((l) => l.line));
    return left.length;
  };
  heads.forEach((head, i) => head.append(make("button", { type: "button", onclick: () => {
    up = by === i ? !up : columns[i].kind !== "number" || Boolean(columns[i].lowFirst);
    by = i;
    heads.forEach((h, j) => h.setAttribute("aria-sort", j === i ? (up ? "ascending" : "descending") : "none"));
    refresh();
  }, "aria-label": columns[i].help && columns[i].title.length < 3 ? columns[i].help : null }, columns[i].title)));
  refresh();
  const table = make("table", { class: "rows" }, make("caption", {}, caption), make("thead", {}, make("tr", {}, ...heads)), body);
  return { table, box: make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, table), filter: (test) => { keep = test; return refresh(); } };
}
function empty(value) { return value === null || value === undefined || value === ""; }
function shown(value) { return empty(value) ? "–" : String(value); }
function fixed(value, digits) { return Number.isFinite(value) ? value.toFixed(digits) : "–"; }
function percent(value) { return Number.isFinite(value) ? `${(100 * value).toFixed(0)} %` : "–"; }
function duration(seconds) { return !Number.isFinite(seconds) ? "–" : seconds < 60 ? `${seconds.toFixed(0)} s` : seconds < 5400 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`; }
function swatch(colour) { const mark = make("span", { class: "swatch", "aria-hidden": "true" }); mark.style.background = colour; return mark; }
function legend(entries) { return make("ul", { class: "legend" }, ...entries.map(([name, colour]) => make("li", { dir: "auto" }, swatch(colour), name))); }
function stat(value, name) { return make("div", { class: "stat" }, make("b", {}, value), make("span", {}, name)); }
function nice(value, span) { return value.toFixed(span > 20 ? 0 : span > 2 ? 1 : span > 0.1 ? 2 : 3); }
/* A frame with axes: returns {svg, px, py}. */
function axes(spec, label) {
  const W = 380, H = 230, L = 46, R = 14, T = 26, B = 34, svg = draw("svg", { class: "plot", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": label });
  const scale = spec.log ? Math.log10 : (v) => v, pad = (low, high) => { const d = (high - low || Math.abs(high) * 0.1 || 1) * 0.09; return [low - d, high + d]; };
  const [x0, x1] = pad(Math.min(...spec.xs.map(scale)), Math.max(...spec.xs.map(scale))), [y0, y1] = pad(Math.min(...spec.ys), Math.max(...spec.ys));
  const px = (v) => L + ((scale(v) - x0) / (x1 - x0)) * (W - L - R), py = (v) => T + ((y1 - v) / (y1 - y0)) * (H - T - B);
  for (let i = 0; i <= 3; i++) {
    const v = y0 + ((y1 - y0) * i) / 3;
    svg.append(draw("path", { class: "axis", d: `M${L} ${py(v)}H${W - R}` }), draw("text", { x: L - 5, y: py(v) + 4, "text-anchor": "end" }, nice(v, y1 - y0)));
  }
  const ticks = spec.log ? [...new Set(spec.xs)].sort((a, b) => a - b) : [0.05, 0.35, 0.65, 0.95].map((s) => x0 + s * (x1 - x0));
  let last = -Infinity;
  for (const t of ticks) { if (px(t) - last < 34) continue; last = px(t); svg.append(draw("text", { x: px(t), y: H - B + 15, "text-anchor": "middle" }, spec.log ? String(t) : nice(t, x1 - x0))); }
  svg.append(draw("text", { x: W - R, y: H - 4, "text-anchor": "end" }, spec.xLabel), draw("text", { x: 4, y: 11 }, spec.yLabel));
  return { svg, px, py };
}
/* Points with letters: {points: [{x, y, letter, colour}], joins: [[point...]], xLabel, yLabel, log}. */
function scatter(spec, label) {
  const all = spec.points.filter((p) => Number.isFinite(p.x) && Number.isFinite(p.y) && (!spec.log || p.x > 0));
  if (!all.length) return make("p", { class: "quiet" }, "Not known of these results.");
  const { svg, px, py } = axes({ ...spec, xs: all.map((p) => p.x), ys: all.map((p) => p.y) }, `${label}: ${all.map((p) => `${p.letter} ${spec.xLabel} ${nice(p.x, 1)}, ${spec.yLabel} ${nice(p.y, 1)}`).join("; ")}`);
  for (const join of spec.joins || []) {
    const there = join.filter((p) => all.includes(p));
    if (there.length > 1) svg.append(draw("path", { class: "join", d: "M" + there.map((p) => `${px(p.x).toFixed(1)} ${py(p.y).toFixed(1)}`).join("L"), stroke: there[0].colour }));
  }
  for (const p of all) svg.append(draw("circle", { class: "point", cx: px(p.x), cy: py(p.y), r: 5, fill: p.colour }));
  const labels = []; // points that are close share a label
  for (const p of all) {
    const near = labels.find((l) => Math.abs(l.x - px(p.x)) < 9 && Math.abs(l.y - py(p.y)) < 11);
    if (near) near.text += `, ${p.letter}`; else labels.push({ x: px(p.x), y: py(p.y), text: p.letter });
  }
  for (const l of labels) svg.append(draw("text", { class: "point-label", x: l.x + (l.x > 330 ? -8 : 8), y: l.y - 6, "text-anchor": l.x > 330 ? "end" : "start" }, l.text));
  return svg;
}
/* Bars in parts: rows of {name, parts: [{value, colour, name}], text}, all by one scale. */
function stacked(rows, label) {
  const sum = (r) => r.parts.reduce((s, p) => s + p.value, 0), most = Math.max(...rows.map(sum), 1e-9);
  return make("div", { class: "stacks", role: "img", "aria-label": `${label}: ${rows.map((r) => `${r.name} ${r.text} (${r.parts.filter((p) => p.value).map((p) => `${p.value} ${p.name}`).join(", ")})`).join("; ")}` }, ...rows.flatMap((r) => {
    const bar = make("div", { class: "stack" }, ...r.parts.filter((p) => p.value > 0).map((p) => { const part = make("i", { title: `${p.name}: ${p.value}` }); part.style.background = p.colour; part.style.width = `${(100 * p.value) / most}%`; return part; }), make("b", {}, r.text));
    return [make("span", { dir: "auto", title: r.name }, r.name), bar];
  }));
}
