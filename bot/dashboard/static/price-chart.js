// The chart of one position. The server says all of it: candles and indicators by /api/chart, levels and fills in two
// elements of the page that the live stream keeps up to date.
"use strict";

(() => {
  const figure = document.getElementById("price-chart");
  const stream = document.getElementById("stream");
  if (!figure || !stream || !window.LightweightCharts) return;

  const library = window.LightweightCharts;
  const legend = figure.querySelector(".chart-legend");
  const choice = figure.querySelector(".chart-indicator");
  const none = document.getElementById("price-chart-none");
  const before = 10; // candles to show ahead of the entry, at least
  const perCandle = 9; // pixels
  const pauseMs = 5000; // between two looks at all candles: a simulated market closes several a second
  let view = null;
  let known = []; // rows of /api/chart
  let indicators = {};
  let indicatedUntil = 0; // open of the newest candle that came with its indicators
  let loading = false;
  let loadedAt = -Infinity;
  let lines = [];
  let stops = null;
  let lower = null;
  let pins = null;
  let shown = ""; // what is drawn now, so that equal news costs nothing

  const levels = () => JSON.parse(document.getElementById("chart-levels").dataset.levels);
  const marks = () => JSON.parse(document.getElementById("chart-marks").dataset.marks);
  const price = (value) => value.toFixed(view.precision);

  function candleAt(second) { // open of the candle that `second` lies in; before the first one: null
    let low = 0;
    let high = known.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (known[middle][0] <= second) low = middle + 1;
      else high = middle;
    }
    return low ? known[low - 1][0] : null;
  }

  function draw() {
    const now = levels();
    const done = marks();
    const wanted = JSON.stringify([now, done, document.documentElement.dataset.theme, known.length]);
    if (wanted === shown) return;
    shown = wanted;
    drawLevels(now);
    drawStops(now, done.stops);
    drawFills(done.fills);
  }

  function drawLevels(now) {
    const colour = window.pageColour;
    const wanted = [
      ["entry", now.entry, "ink", library.LineStyle.Solid],
      ...now.targets.map((each, index) => [`target ${index + 1}`, each, "gain", library.LineStyle.Dashed]),
      ["exit", now.exit, "ink", library.LineStyle.Dotted],
      ["now", now.mark, "line", library.LineStyle.Dotted],
    ];
    for (const each of lines) view.candles.removePriceLine(each);
    lines = wanted
      .filter(([, at]) => at !== null)
      .map(([title, at, name, lineStyle]) =>
        view.candles.createPriceLine({ price: at, title, color: colour(name), lineStyle, lineWidth: 1 }));
  }

  function drawStops(now, moves) {
    const steps = new Map();
    for (const [at, to] of moves) {
      const time = candleAt(at) ?? known[0][0];
      steps.set(time, to); // of several in one candle the last one
    }
    const end = candleAt(now.closed_at ?? Infinity) ?? known[0][0];
    if (!steps.has(end)) steps.set(end, now.stop);
    stops.setData([...steps].sort(([one], [other]) => one - other).map(([time, value]) => ({ time, value })));
  }

  function drawFills(fills) {
    const colour = window.pageColour;
    pins.setMarkers(fills.flatMap((each) => {
      const time = candleAt(each.at);
      if (time === null) return [];
      const buys = each.side === "buy";
      return [{
        time,
        position: buys ? "belowBar" : "aboveBar",
        shape: buys ? "arrowUp" : "arrowDown",
        color: colour("ink"),
        text: `${each.role} ${price(each.price)}`,
      }];
    }));
  }

  function drawIndicator() {
    if (lower) view.chart.removeSeries(lower);
    lower = null;
    const values = indicators[choice.value];
    if (!values) return;
    lower = view.chart.addSeries(library.LineSeries, {
      color: window.pageColour("line"),
      lineWidth: 2,
      title: choice.selectedOptions[0].textContent,
      priceLineVisible: false,
    }, 1);
    const measured = known.slice(0, values.length); // a candle that has just closed comes without
    lower.setData(measured.flatMap(([time], index) => values[index] === null ? [] : [{ time, value: values[index] }]));
    view.chart.panes()[1].setStretchFactor(0.35);
  }

  function tell(row) {
    const [second, open, high, low, close] = row;
    const at = new Date(second * 1000).toISOString().slice(0, 16).replace("T", " ");
    legend.textContent = `${at}  open ${price(open)}  high ${price(high)}  low ${price(low)}  close ${price(close)}`;
  }

  function begin(data) {
    figure.hidden = false;
    none.hidden = true;
    view = window.candleChart(figure.querySelector(".chart-canvas"), data.tick, () => { shown = ""; });
    view.candles.applyOptions({ autoscaleInfoProvider: withLevels });
    stops = view.chart.addSeries(library.LineSeries, {
      lineType: library.LineType.WithSteps,
      lineWidth: 2,
      title: "stop",
      priceLineVisible: false,
      priceFormat: { type: "price", precision: view.precision, minMove: data.tick },
    });
    pins = library.createSeriesMarkers(view.candles, []);
    view.chart.subscribeCrosshairMove((event) => {
      const second = event.time ?? known[known.length - 1][0];
      tell(known.find(([time]) => time === second) ?? known[known.length - 1]);
    });
    choice.addEventListener("change", drawIndicator);
    document.addEventListener("theme-changed", repaint);
  }

  // Entry, stop and targets are always in sight, however far the price is from them.
  function withLevels(usual) {
    const found = usual();
    const { entry, stop, targets } = levels();
    const prices = [entry, stop, ...targets].filter((each) => each !== null);
    if (!found) return null;
    const { minValue, maxValue } = found.priceRange;
    return { ...found, priceRange: { minValue: Math.min(minValue, ...prices), maxValue: Math.max(maxValue, ...prices) } };
  }

  function repaint() {
    stops.applyOptions({ color: window.pageColour("danger") });
    draw();
    drawIndicator();
  }

  function showAll(data) {
    const first = view === null;
    known = data.candles;
    indicators = data.indicators;
    indicatedUntil = known[known.length - 1][0];
    if (first) begin(data);
    view.candles.setData(known.map(window.candleOf));
    tell(known[known.length - 1]);
    repaint();
    if (first) showTrade();
  }

  function showTrade() {
    const opened = marks().stops[0][0];
    const entry = known.findIndex(([time]) => time === candleAt(opened));
    const fitting = Math.floor(figure.clientWidth / perCandle);
    const from = Math.max(0, Math.min(entry - before, known.length - fitting));
    view.chart.timeScale().setVisibleLogicalRange({ from, to: known.length + 3 });
  }

  async function load() {
    if (loading || performance.now() - loadedAt < pauseMs) return;
    loading = true;
    loadedAt = performance.now();
    try {
      const answer = await fetch(figure.dataset.source, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(`${answer.status}`);
      showAll(await answer.json());
    } catch {
      if (!view) none.textContent = "The candles could not be read; reload the page to try again.";
    } finally {
      loading = false;
    }
  }

  function follow() {
    if (!view) return;
    for (const row of levels().newest) {
      if (row[0] <= known[known.length - 1][0]) continue;
      known.push(row);
      view.candles.update(window.candleOf(row));
      tell(row);
    }
    if (known[known.length - 1][0] > indicatedUntil) load(); // the indicators of a candle that has closed
    draw();
  }

  stream.addEventListener("htmx:sse:after:message", follow);
  load();
})();
