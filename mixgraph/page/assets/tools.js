"use strict";
/* Makes elements; text always goes in as text, never as markup. */
function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}
function draw(tag, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}
function signed(value) { return value === null ? "not measured" : (value >= 0 ? "+" : "−") + Math.abs(value).toFixed(3); }
function figure(value) { return Number.isFinite(value) ? value.toFixed(3) : "unknown"; }
function hertz(value) { return value >= 1000 ? value / 1000 + "k" : String(value); }
function finite(values) { return values.filter((v) => v !== null && Number.isFinite(v)); }
/* A plot of lines: {x, lines: {name: y}, log, xLabel, yLabel, colours}. */
function plot(curve, label, colour) {
  const W = 340, H = 190, L = 42, R = 8, T = 10, B = 30;
  const svg = draw("svg", { class: "plot", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": label });
  const all = finite(Object.values(curve.lines).flat());
  if (!all.length) return svg;
  let low = Math.min(...all, curve.zero ? 0 : Infinity), high = Math.max(...all);
  if (high - low < 1e-6) { low -= 1; high += 1; }
  const scale = curve.log ? Math.log10 : (v) => v, xs = finite(curve.x).map(scale);
  const x0 = Math.min(...xs), x1 = Math.max(...xs, x0 + 1e-6);
  const px = (v) => L + ((scale(v) - x0) / (x1 - x0)) * (W - L - R), py = (v) => T + ((high - v) / (high - low)) * (H - T - B);
  for (let i = 0; i <= 3; i++) {
    const v = low + ((high - low) * i) / 3;
    svg.append(draw("path", { class: "axis", d: `M${L} ${py(v)}H${W - R}` }), draw("text", { x: L - 5, y: py(v) + 4, "text-anchor": "end" }, v.toFixed(high - low > 20 ? 0 : high - low < 2 ? 2 : 1)));
  }
  const ticks = curve.log ? [100, 1000, 10000].filter((t) => Math.log10(t) > x0 && Math.log10(t) < x1) : [0, 0.5, 1].map((s) => x0 + s * (x1 - x0));
  for (const t of ticks) svg.append(draw("text", { x: px(t), y: H - B + 14, "text-anchor": px(t) > W - 30 ? "end" : "middle" }, curve.log ? hertz(t) : t.toFixed(x1 - x0 > 12 ? 0 : 1)));
  svg.append(draw("text", { x: W - R, y: H - 3, "text-anchor": "end" }, `${curve.xLabel} · ${curve.yLabel}`));
  for (const [name, ys] of Object.entries(curve.lines)) {
    let d = "", open = false;
    ys.forEach((y, i) => { if (y === null) open = false; else { d += (open ? "L" : "M") + px(curve.x[i]).toFixed(1) + " " + py(y).toFixed(1); open = true; } });
    const style = name === "unchanged" || name === "side" || name.startsWith("found") ? { "stroke-dasharray": "3 3" } : {};
    svg.append(draw("path", { class: "line", d, stroke: (curve.colours || {})[name] || colour || "var(--accent)", ...style }));
  }
  return svg;
}
/* Bars from zero: rows of {name, value, colour, text}. */
function bars(rows, label, widest = 130) {
  const W = 340, H = 24 * rows.length + 6, most = Math.max(...rows.map((r) => Math.abs(r.value)), 1e-9);
  const signedBars = rows.some((r) => r.value < 0), zero = signedBars ? 190 : 150, room = signedBars ? 80 : widest;
  const svg = draw("svg", { class: "plot", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": label });
  rows.forEach((r, i) => {
    const w = (Math.abs(r.value) / most) * room, y = 24 * i + 4;
    svg.append(draw("text", { x: 0, y: y + 13 }, r.name.length > 24 ? r.name.slice(0, 23) + "…" : r.name), draw("rect", { x: r.value < 0 ? zero - w : zero, y, width: w, height: 16, rx: 3, fill: r.colour || "var(--accent)" }), draw("text", { x: r.value < 0 ? zero + 6 : zero + w + 6, y: y + 13 }, r.text));
  });
  return svg;
}
