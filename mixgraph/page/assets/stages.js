/* The console and every round of pruning, to switch to above the drawing of the graph. */
function startStages(data, drawing) {
  const place = document.getElementById("stages"), stages = data.stages;
  const still = { go: (number) => { drawing.pick(number, true); } };
  if (!stages || stages.drawings.length < 2) return still;
  const found = document.querySelector("#drawing svg"), last = stages.drawings.length - 1, drawings = new Map([[last, found]]);
  const input = make("input", { type: "range", min: 0, max: last, step: 1, "aria-label": "Console, or round of pruning" });
  const output = make("output", {}), note = make("span", { class: "quiet" });
  const parsed = (number) => {
    if (!drawings.has(number)) drawings.set(number, document.importNode(new DOMParser().parseFromString(stages.drawings[number].svg, "image/svg+xml").documentElement, true));
    return drawings.get(number);
  };
  function show(number) {
    const stage = stages.drawings[number], when = number ? `After ${stage.name}${number === last ? ", the found graph" : ""}` : "The console";
    const text = `${when}: ${stage.left} processors${stage.loss === null ? "" : `, loss ${figure(stage.loss)}`}`;
    output.textContent = text; input.value = number; input.setAttribute("aria-valuetext", text);
    note.textContent = number === last ? "" : "What is heard, and the settings, are those of the found graph.";
    drawing.adopt(parsed(number));
  }
  input.addEventListener("input", () => { const chosen = document.querySelector("#drawing g.node.chosen"); show(Number(input.value)); if (chosen) drawing.pick(Number(chosen.dataset.node), false); });
  place.append(make("div", { class: "stages" }, make("span", {}, "Console"), input, make("span", {}, "Found"), output, note));
  show(last); drawing.pick(null, false);
  /* Shows a processor: in the drawing that is there, or else in the console. */
  return { go: (number) => { if (!drawing.has(number)) show(0); drawing.pick(number, true); } };
}
