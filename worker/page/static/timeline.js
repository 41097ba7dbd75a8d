// The share of the slots that each breaker admitted, over time. The table below says the same.
"use strict";

const place = document.getElementById("chart");
if (place && window.uPlot) {
  const { at, lines } = JSON.parse(place.dataset.chart);
  const part = document.getElementById("chart-part");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dashes = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5], [12, 2]];
  let chart;

  const draw = () => {
    const ink = colour("--muted");
    const utc = (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "UTC");
    const days = at[at.length - 1] - at[0] > 2 * 86400;
    const mark = uPlot.fmtDate(days ? "{MM}-{DD} {HH}:{mm}" : "{HH}:{mm}");
    const moment = uPlot.fmtDate("{MM}-{DD} {HH}:{mm}:{ss}");
    const axis = { stroke: ink, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const series = lines.map((line, n) => ({
      label: line.name,
      stroke: colour("--chart-" + (n % 6)),
      width: 2,
      dash: dashes[n % dashes.length],
      paths: uPlot.paths.stepped({ align: 1 }),
      points: { show: false },
      value: (_, share) => (share == null ? "–" : share + " %"),
    }));
    if (chart) chart.destroy();
    part.hidden = false;
    chart = new uPlot(
      {
        width: place.clientWidth,
        height: 200,
        tzDate: utc,
        scales: { y: { range: [0, 105] } },
        axes: [{ ...axis, space: days ? 110 : 60, values: (_, times) => times.map((one) => mark(utc(one))) }, { ...axis, size: 48, values: (_, shares) => shares.map((one) => one + " %") }],
        series: [{ label: "UTC", value: (_, one) => (one == null ? "–" : moment(utc(one))) }, ...series],
      },
      [at, ...lines.map((line) => line.share)],
      place,
    );
  };

  draw();
  window.addEventListener("resize", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
