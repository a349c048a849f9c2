// Equity and the fall below its peak over the same time. Without this script the pictures of the server stay.
"use strict";

(() => {
  const place = document.getElementById("performance-plot");
  const source = place && document.getElementById(place.dataset.chart);
  if (!place || !source || !window.uPlot) return;
  const drawn = JSON.parse(source.textContent);
  const style = getComputedStyle(document.body);

  // A canvas knows no custom properties: the colours of the page are read from elements that have them.
  function colour(name) {
    const probe = document.createElement("span");
    probe.className = name;
    place.before(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  const [gain, loss, muted] = [colour("gain"), colour("loss"), colour("flat")];
  const faint = (tone) => tone.replace("rgb(", "rgba(").replace(")", ", 0.15)");
  const grid = { stroke: "rgba(128, 128, 128, 0.15)", width: 1 };
  const axis = { stroke: muted, font: `12px ${style.fontFamily}`, grid, ticks: { show: false } };
  const never = [null, null, null, null, null, 1];
  const dates = [
    [28 * 86400, "{YYYY}-{MM}", null, ...never],
    [86400, "{MM}-{DD}", "\n{YYYY}", ...never],
    [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
  ];
  const money = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 }));
  const utc = (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC");

  function plot(height, label, values, tone, write, showsTime) {
    return new uPlot(
      {
        width: place.clientWidth,
        height,
        padding: [8, 24, 0, 0],
        tzDate: utc,
        cursor: { sync: { key: "performance" }, y: false },
        scales: { x: { time: true } },
        axes: [{ ...axis, show: showsTime, values: dates }, { ...axis, size: 76, values: (_, splits) => splits.map(write) }],
        series: [
          { label: "UTC", value: "{YYYY}-{MM}-{DD} {HH}:{mm}" },
          { label, stroke: tone, fill: faint(tone), width: 1.5, points: { show: false }, value: (_, each) => write(each) },
        ],
      },
      [drawn.at_s, values],
      place,
    );
  }

  const percent = (value) => (value === null || value === undefined ? "–" : `${value.toFixed(2)} %`.replace("-", "−"));
  const plots = [
    plot(220, "Equity", drawn.equity, gain, money, false),
    plot(130, "Below the peak", drawn.fall_percent, loss, percent, true),
  ];
  new ResizeObserver(() => {
    for (const each of plots) each.setSize({ width: place.clientWidth, height: each.height });
  }).observe(place);
})();
