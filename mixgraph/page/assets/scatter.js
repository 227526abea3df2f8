/* Dry/wet weight against loss increase of every processor of the trained console (the paper's figure 4). */
const BEND = 0.002; // loss increases are drawn logarithmically above it, and linearly around 0
function showPoints(data, stages) {
  const after = data.nodes.filter((n) => n.loss !== null).map((n) => ({ label: `${n.place}: ${n.name}`, name: n.name, colour: n.colour, weight: n.weight, loss: n.loss, node: n.node }));
  const points = (data.points.length ? data.points : after).filter((p) => Number.isFinite(p.loss) && Number.isFinite(p.weight)).sort((a, b) => a.weight - b.weight);
  if (!points.length) return;
  const W = 560, H = 300, L = 52, R = 12, T = 10, B = 34, kept = new Set(data.nodes.map((n) => n.node));
  const linked = points.some((p) => p.node !== null);
  const bend = (v) => Math.asinh(v / BEND), low = bend(Math.min(0, ...points.map((p) => p.loss))) - 0.2, high = bend(Math.max(BEND, ...points.map((p) => p.loss))) + 0.2;
  const px = (v) => L + v * (W - L - R), py = (v) => T + ((high - bend(v)) / (high - low)) * (H - T - B);
  const svg = draw("svg", { class: "plot points", viewBox: `0 0 ${W} ${H}`, role: "group", "aria-label": "Processors by dry/wet weight and loss increase; arrow keys move" + (linked ? ", Enter shows a processor in the drawing" : "") });
  for (const v of [-1, -0.1, -0.01, 0, 0.01, 0.1, 1, 10].filter((t) => bend(t) >= low && bend(t) <= high)) {
    svg.append(draw("path", { class: "axis", d: `M${L} ${py(v)}H${W - R}` }), draw("text", { x: L - 6, y: py(v) + 4, "text-anchor": "end" }, v > 0 ? `+${v}` : String(v).replace("-", "−")));
  }
  for (const v of [0, 0.25, 0.5, 0.75, 1]) svg.append(draw("text", { x: px(v), y: H - B + 16, "text-anchor": v === 1 ? "end" : "middle" }, String(v)));
  svg.append(draw("text", { x: W - R, y: H - 3, "text-anchor": "end" }, "dry/wet weight · loss without the processor"));
  const told = make("p", { class: "quiet", "aria-live": "polite", dir: "auto" }, linked ? "Choose a point to see the processor in the drawing." : "Point at a processor to see its name.");
  const text = (p) => `${p.label}: weight ${p.weight.toFixed(2)}, loss ${signed(p.loss)}${p.node === null ? "" : kept.has(p.node) ? ", kept" : ", removed"}`;
  const dots = points.map((p, i) => {
    const known = p.node !== null, removed = known && !kept.has(p.node);
    const dot = draw("circle", { cx: px(p.weight), cy: py(p.loss), r: 5, fill: p.colour, ...(removed ? { class: "gone", stroke: p.colour } : {}), role: "button", tabindex: i ? "-1" : "0", "aria-label": text(p) });
    const go = () => { if (known) stages.go(p.node); };
    dot.addEventListener("click", go);
    dot.addEventListener("mouseenter", () => { told.textContent = text(p); });
    dot.addEventListener("focus", () => { told.textContent = text(p); for (const other of dots) other.setAttribute("tabindex", other === dot ? "0" : "-1"); });
    dot.addEventListener("keydown", (e) => {
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[e.key];
      if (step) { e.preventDefault(); dots[Math.min(dots.length - 1, Math.max(0, i + step))].focus(); }
      if (e.key === "Enter" || e.key === " ") { e.preventDefault(); go(); }
    });
    return dot;
  });
  svg.append(...dots);
  const types = [...new Map(points.map((p) => [p.name, p.colour]))].map(([name, colour]) => { const mark = make("span", { class: "type" }); mark.style.background = colour; return make("span", {}, mark, name); });
  const title = data.points.length ? `Weight against loss increase after the console was trained${linked ? " (filled: kept)" : ""}` : "Weight against loss increase of the found graph";
  document.querySelector("#figures .grid").prepend(make("div", { class: "card wide" }, make("h3", {}, title), svg, make("div", { class: "legend" }, ...types), told));
}
