"use strict";
(() => {
  const asked = matchMedia("(prefers-color-scheme: dark)");
  const paper = 680; // pixels across a printed page
  const figures = Array.from(document.querySelectorAll("figure"), (figure) => ({
    figure,
    plot: figure.querySelector(".plot"),
    spec: JSON.parse(figure.querySelector(".spec").textContent),
  }));

  function draw(theme, width) {
    for (const { plot, spec } of figures) {
      const { data, layout } = structuredClone(spec[theme]);
      const size = width ? { width, autosize: false } : { autosize: true };
      Plotly.react(plot, data, { ...layout, ...size }, { displayModeBar: false, responsive: !width });
    }
  }

  const current = () => (asked.matches ? "dark" : "light");
  draw(current());
  asked.addEventListener("change", () => draw(current()));
  addEventListener("beforeprint", () => draw("light", paper));
  addEventListener("afterprint", () => draw(current()));

  for (const { figure, plot, spec } of figures) {
    const save = figure.querySelector(".save");
    save.hidden = false;
    save.addEventListener("click", (event) => {
      const format = event.target.dataset.format;
      if (format) {
        const { width, height } = plot.getBoundingClientRect();
        Plotly.downloadImage(plot, { format, filename: spec.name, width, height, scale: format === "png" ? 2 : 1 });
      }
    });
  }
  document.documentElement.dataset.drawn = String(figures.length);
})();
