/* The drawing of the graph: pan, zoom, and a way through its nodes by mouse, touch and keys. */
function startDrawing(choose) {
  const box = document.getElementById("drawing");
  let svg, nodes, view, widest;
  const show = () => svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.w} ${view.h}`);
  const zoom = (factor, cx, cy) => { const f = Math.max(60 / view.w, Math.min(factor, widest / view.w)); view.x = cx - (cx - view.x) * f; view.y = cy - (cy - view.y) * f; view.w *= f; view.h *= f; show(); };
  box.addEventListener("wheel", (e) => {
    if (!e.ctrlKey) return;
    e.preventDefault();
    const at = new DOMPoint(e.clientX, e.clientY).matrixTransform(svg.getScreenCTM().inverse());
    zoom(Math.exp(e.deltaY / 400), at.x, at.y);
  }, { passive: false });
  const panel = document.getElementById("inspector");
  box.addEventListener("mouseleave", () => {
    const g = nodes.find((node) => node.classList.contains("chosen"));
    if (g && !panel.contains(document.activeElement)) choose(Number(g.dataset.node), g);
  });
  let drag = null;
  box.addEventListener("pointerdown", (e) => { drag = { x: e.clientX, y: e.clientY }; });
  box.addEventListener("pointermove", (e) => {
    if (!drag || !e.buttons) return;
    const s = 1 / svg.getScreenCTM().a;
    view.x -= (e.clientX - drag.x) * s; view.y -= (e.clientY - drag.y) * s; drag = { x: e.clientX, y: e.clientY }; show();
  });
  const middle = (g) => { const b = g.getBBox(); return { x: b.x + b.width / 2, y: b.y + b.height / 2 }; };
  const pick = (g, focus) => {
    for (const other of nodes) { other.classList.toggle("chosen", other === g); other.setAttribute("tabindex", other === g ? "0" : "-1"); }
    if (focus) g.focus({ preventScroll: true });
    choose(Number(g.dataset.node), g);
  };
  const arrows = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
  const neighbour = (g, [dx, dy]) => {
    const here = middle(g); let best = null, least = Infinity;
    for (const other of nodes) {
      const there = middle(other), along = (there.x - here.x) * dx + (there.y - here.y) * dy, off = Math.abs((there.x - here.x) * dy) + Math.abs((there.y - here.y) * dx);
      if (along > 4 && along + 3 * off < least) { least = along + 3 * off; best = other; }
    }
    return best;
  };
  const prepare = (g, i) => {
    const title = g.querySelector("title").textContent;
    g.setAttribute("role", "button"); g.setAttribute("aria-label", title); g.setAttribute("tabindex", i ? "-1" : "0");
    if (!["input", "mix", "output"].includes(g.dataset.type)) g.querySelector("text").classList.add("letter");
    g.addEventListener("click", () => pick(g, false));
    g.addEventListener("mouseenter", () => { if (!panel.contains(document.activeElement)) choose(Number(g.dataset.node), g); });
    g.addEventListener("focus", () => pick(g, false));
    g.addEventListener("keydown", (e) => {
      const to = arrows[e.key] && neighbour(g, arrows[e.key]);
      if (arrows[e.key]) e.preventDefault();
      if (to) pick(to, true);
      if (e.key === "+" || e.key === "-") { const m = middle(g); zoom(e.key === "+" ? 0.8 : 1.25, m.x, m.y); }
    });
  };
  const isProcessor = (g) => !["input", "mix", "output"].includes(g.dataset.type);
  const find = (number) => nodes.find((g) => Number(g.dataset.node) === number);
  /* Takes a drawing in place of the one that is there; what was bypassed or muted in that stays so. */
  function adopt(drawing) {
    const off = new Set((nodes || []).filter((g) => g.classList.contains("off")).map((g) => g.dataset.node));
    svg = drawing; nodes = [...svg.querySelectorAll("g.node")];
    const full = svg.viewBox.baseVal;
    view = { x: full.x, y: full.y, w: full.width, h: full.height }; widest = 1.5 * full.width;
    svg.removeAttribute("width"); svg.removeAttribute("height"); svg.setAttribute("preserveAspectRatio", "xMidYMin meet");
    nodes.forEach(prepare);
    for (const g of nodes) g.classList.toggle("off", off.has(g.dataset.node));
    box.style.aspectRatio = `${full.width} / ${full.height}`;
    box.replaceChildren(svg);
  }
  adopt(box.querySelector("svg"));
  const first = nodes.find(isProcessor);
  if (first) pick(first, false);
  return { adopt, has: (number) => Boolean(find(number)), pick: (number, focus) => { const g = find(number) || nodes.find(isProcessor); if (g) pick(g, focus); } };
}
function heading(node) {
  const mark = make("span", { class: "type" }); mark.style.background = node.colour;
  return make("h3", { dir: "auto" }, mark, node.name);
}
function inspect(data, number, group) {
  const box = document.getElementById("inspector"), node = data.nodes.find((n) => n.node === number);
  const gone = data.stages && data.stages.removed[number];
  if (gone) {
    box.replaceChildren(
      heading(gone), make("p", { class: "quiet", dir: "auto" }, gone.place), make("p", {}, `Removed in round ${gone.round + 1}. Settings of removed processors are not kept.`),
      ...(gone.weight === null ? [] : [make("p", {}, `Dry/wet weight after training the console ${(100 * gone.weight).toFixed(0)} %`), make("p", {}, `Loss without it, then: ${signed(gone.loss)}`)]));
    return;
  }
  if (!node) { box.replaceChildren(make("h3", { dir: "auto" }, group.querySelector("title").textContent)); return; }
  box.replaceChildren(
    heading(node), make("p", { class: "quiet", dir: "auto" }, node.place), make("p", {}, node.text || ""), ...(node.parametric ? [make("p", { class: "quiet" }, node.parametric)] : []), make("div", { class: "reading", "aria-live": "off" }, ...readingPictures(node, node.curve)),
    make("p", {}, `Dry/wet weight ${(100 * node.weight).toFixed(0)} %`), make("p", {}, `Loss without it: ${signed(node.loss)}`),
    ...(node.right === null ? [] : [make("p", {}, `Probability to be right ${(100 * node.right).toFixed(0)} %`)]),
    node.foundIn ? make("p", {}, `Found in ${node.foundIn[0]} of ${node.foundIn[1]} runs`) : "");
}
