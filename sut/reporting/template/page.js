"use strict";
(() => {
  const root = document.documentElement;
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const remembered = () => { try { return localStorage.getItem("sut-report-theme"); } catch { return null; } };
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const dashes = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
  const symbols = ["", "/", ".", "\\", "x", "-"];

  function coloured(trace, _, all) {
    const found = structuredClone(trace);
    if (trace.map) {
      found.colorscale = [[0, colour("--idle")], [1, colour("--run0")]];
      return found;
    }
    const number = (trace.run ?? 0) % 6;
    const tint = trace.part === undefined ? colour(`--run${number}`) : colour(`--part${trace.part}`);
    if (trace.type === "bar") {
      found.marker = { ...trace.marker, color: tint };
      if (trace.part === undefined && number && all.length > 1) {
        found.marker.pattern = { shape: symbols[number], fillmode: "overlay", fgcolor: colour("--back"), fgopacity: 0.6, size: 5, solidity: 0.25 };
      }
    } else {
      found.line = { width: 2, dash: dashes[number], ...trace.line, color: tint };
      found.marker = { ...trace.marker, color: tint, line: { width: 2, ...(trace.marker || {}).line, color: tint } };
      if (trace.fill) found.fillcolor = `${tint}22`;
    }
    return found;
  }

  function layout(chart, width) {
    const axis = (given, more) => ({
      gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"), automargin: true,
      separatethousands: true, exponentformat: "none", ...(given?.type === "category" ? {} : { nticks: width < 420 ? 5 : 8 }), ...more, ...given,
      title: { standoff: 10, ...(given || {}).title },
    });
    const names = new Set(chart.traces.filter((one) => one.showlegend !== false && one.name).map((one) => one.name));
    return {
      ...chart.layout,
      xaxis: axis(chart.layout.xaxis, { showgrid: false, ticks: "outside", tickcolor: colour("--line"), showline: true }),
      yaxis: axis(chart.layout.yaxis, {}),
      shapes: (chart.layout.shapes || []).map((one) => ({ ...one, line: { ...one.line, color: colour("--bad") } })),
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("--soft") },
      width, height: chart.height, autosize: false,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", separators: ".,",
      margin: { l: 52, r: 12, t: 12, b: 48 }, hovermode: "closest", dragmode: false,
      hoverlabel: { bgcolor: colour("--raised"), bordercolor: colour("--line"), font: { color: colour("--text") } },
      showlegend: names.size > 1, legend: {
        orientation: "h", x: 0, y: 1, yanchor: "bottom", font: { color: colour("--text") }, ...chart.layout.legend,
      },
    };
  }

  const places = [...document.querySelectorAll(".chart")];
  function drawOne(place) {
    const chart = { ...charts[place.dataset.chart], height: place.clientHeight };
    Plotly.react(place, chart.traces.map(coloured), layout(chart, place.clientWidth), { displayModeBar: false });
  }
  const draw = () => places.forEach(drawOne);
  const widths = new Map();
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (widths.get(target) === target.clientWidth) continue;
      widths.set(target, target.clientWidth);
      drawOne(target);
    }
  });

  const button = document.getElementById("theme");
  function name() { button.textContent = isDark() ? "Light" : "Dark"; }
  const wanted = location.hash === "#dark" || location.hash === "#light" ? location.hash.slice(1) : remembered();
  if (wanted === "dark" || wanted === "light") root.dataset.theme = wanted;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("sut-report-theme", root.dataset.theme); } catch { /* a file without storage */ }
    name();
    draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { name(); draw(); });
  for (const one of document.querySelectorAll("[data-path]")) one.title = `run.json: ${one.dataset.path}`;
  name();
  places.forEach((place) => resized.observe(place)); // draws each one first
})();
