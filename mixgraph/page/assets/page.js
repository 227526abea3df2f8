/* Builds the page from its data. */
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  showHead(data); showChains(data); showFigures(data);
  const player = (window.mixgraphPlayer = startListening(data));
  if (data.hasGraph) {
    const controls = startConsole(data, player);
    const drawing = startDrawing((number, group) => { inspect(data, number, group); controls(number); });
    showPoints(data, startStages(data, drawing));
  } else {
    for (const id of ["h-graph", "h-did"]) document.getElementById(id).parentNode.remove();
    showPoints(data, null);
  }
})();
