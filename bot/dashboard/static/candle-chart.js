// A chart of candles in the colours of the page. What it shows always stands in words and tables beside it.
"use strict";

// The computed colour of a name in site.css, because a canvas knows no variables.
window.pageColour = (name) => {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
};

// Draws into `canvas`; prices move by `tick`. `paint(colour)` is called now and whenever the theme changes.
window.candleChart = (canvas, tick, paint = () => {}) => {
  const library = window.LightweightCharts;
  const precision = Math.max(0, Math.min(8, Math.ceil(-Math.log10(tick) - 1e-9)));
  const chart = library.createChart(canvas, {
    autoSize: true,
    layout: { attributionLogo: false, fontSize: 12 }, // the logo would need an inline style: see vendor/README.md
    timeScale: { timeVisible: true, secondsVisible: false, rightOffset: 4 },
    rightPriceScale: { scaleMargins: { top: 0.12, bottom: 0.08 } },
    crosshair: { mode: library.CrosshairMode.Normal },
    handleScroll: { vertTouchDrag: false }, // a finger that moves up or down scrolls the page
  });
  const candles = chart.addSeries(library.CandlestickSeries, {
    priceFormat: { type: "price", precision, minMove: tick },
    priceLineVisible: false,
    lastValueVisible: false,
  });

  function repaint() {
    const colour = window.pageColour;
    chart.applyOptions({
      layout: { background: { color: colour("raised") }, textColor: colour("muted"), panes: { separatorColor: colour("edge") } },
      grid: { vertLines: { color: colour("edge") }, horzLines: { color: colour("edge") } },
      timeScale: { borderColor: colour("edge") },
      rightPriceScale: { borderColor: colour("edge") },
    });
    candles.applyOptions({
      upColor: colour("raised"), // hollow: rising and falling differ by more than a colour
      borderUpColor: colour("gain"),
      wickUpColor: colour("gain"),
      downColor: colour("loss"),
      borderDownColor: colour("loss"),
      wickDownColor: colour("loss"),
    });
    paint(colour);
  }

  document.addEventListener("theme-changed", repaint);
  repaint();
  return { chart, candles, precision, repaint };
};

// A row of /api/chart as the library wants it.
window.candleOf = ([time, open, high, low, close]) => ({ time, open, high, low, close });
