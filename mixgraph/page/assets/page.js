/* Builds the page from its data. */
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  showHead(data); showChains(data); showFigures(data);
  startDrawing(data, (number, group) => inspect(data, number, group));
  window.mixgraphPlayer = startListening(data);
})();
