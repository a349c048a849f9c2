// Candles around one signal with its pivots and levels. The same stands as numbers beside the chart.
"use strict";

(() => {
  const place = document.getElementById("signal-chart");
  const source = place && document.getElementById(place.dataset.chart);
  if (!place || !source || !window.LightweightCharts) return;
  const { createChart, createSeriesMarkers, CandlestickSeries, LineStyle } = window.LightweightCharts;
  const drawn = JSON.parse(source.textContent);

  // A canvas knows no custom properties: the colours of the page are read from elements that have them.
  function colour(name) {
    const probe = document.createElement("span");
    probe.className = name;
    place.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  const tones = { gain: colour("gain"), loss: colour("loss"), wait: colour("wait"), flat: colour("flat") };
  const ink = getComputedStyle(document.body).color;
  const lines = {
    entry: { color: ink, lineStyle: LineStyle.Solid },
    stop: { color: tones.loss, lineStyle: LineStyle.Dashed },
    target: { color: tones.gain, lineStyle: LineStyle.Dashed },
  };
  const [behind, ahead] = drawn.is_long ? ["belowBar", "aboveBar"] : ["aboveBar", "belowBar"];
  const marks = {
    signal: { position: ahead, shape: drawn.is_long ? "arrowUp" : "arrowDown", color: ink },
    pivot: { position: behind, shape: "circle", color: tones.wait },
    in: { position: behind, shape: drawn.is_long ? "arrowUp" : "arrowDown", color: ink },
    out: { position: ahead, shape: "square", color: ink },
  };

  const chart = createChart(place, {
    autoSize: true,
    layout: { background: { color: "transparent" }, textColor: tones.flat, attributionLogo: false },
    grid: { vertLines: { visible: false }, horzLines: { color: "rgba(128, 128, 128, 0.15)" } },
    rightPriceScale: { borderVisible: false },
    timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false },
    handleScroll: { mouseWheel: false },
    handleScale: { mouseWheel: false },
  });
  const candles = chart.addSeries(CandlestickSeries, {
    upColor: tones.gain,
    borderUpColor: tones.gain,
    wickUpColor: tones.gain,
    downColor: tones.loss,
    borderDownColor: tones.loss,
    wickDownColor: tones.loss,
    priceLineVisible: false,
    lastValueVisible: false,
    // Levels far from the candles belong into the picture too.
    autoscaleInfoProvider: (original) => {
      const info = original();
      if (info === null || info.priceRange === null) return info;
      for (const { price } of drawn.levels) {
        info.priceRange.minValue = Math.min(info.priceRange.minValue, price);
        info.priceRange.maxValue = Math.max(info.priceRange.maxValue, price);
      }
      return info;
    },
  });
  const digits = drawn.digits;
  candles.applyOptions({ priceFormat: { type: "price", precision: digits, minMove: 10 ** -digits } });
  candles.setData(drawn.candles.map(([time, open, high, low, close]) => ({ time, open, high, low, close })));
  for (const { name, price, kind } of drawn.levels) {
    candles.createPriceLine({ price, title: name, lineWidth: 1, axisLabelVisible: true, ...lines[kind] });
  }
  const times = drawn.candles.map(([time]) => time);
  createSeriesMarkers(
    candles,
    drawn.marks
      .map(({ at_s: at, text, kind }) => ({ time: times.findLast((time) => time <= at), text, ...marks[kind] }))
      .filter(({ time }) => time !== undefined),
  );
  chart.timeScale().fitContent();
})();
