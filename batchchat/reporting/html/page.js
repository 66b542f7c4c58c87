// The page: reads its data block, writes every text of it as text, and draws with Observable Plot.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const page = document.getElementById("page");
  const dialog = document.getElementById("row");
  const DASH = "–";

  // Figures, written as on the terminal.
  const count = (n) => (n == null ? DASH : Math.round(n).toLocaleString("en-US"));
  const money = (usd) => {
    if (usd == null) return "unknown";
    if (usd > 0 && usd < 0.0001) return "<$0.0001";
    const places = usd >= 100 ? 2 : 4;
    return "$" + usd.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
  };
  // For a single row, three significant digits: rows that cost a fraction of a cent must be distinguishable.
  const moneyOfRow = (usd) => (usd == null ? "unknown" : usd > 0 && usd < 0.01 ? "$" + Number(usd.toPrecision(3)).toFixed(Math.min(20, 2 - Math.floor(Math.log10(usd)))) : money(usd));
  const seconds = (s) => {
    if (s == null) return DASH;
    if (s >= 100) return count(s) + " s";
    if (s > 0 && s < 0.0005) return "<0.001 s";
    const digits = s > 0 ? Math.min(3, Math.max(0, 2 - Math.floor(Math.log10(s)))) : 0;
    return s.toFixed(digits) + " s";
  };
  const compact = (n) => {
    if (Math.abs(n) < 1000) return n === 0 || Math.abs(n) >= 10 ? n.toFixed(0) : String(Number(n.toPrecision(2)));
    const [value, unit] = Math.round(n / 1e3) < 1000 ? [n / 1e3, "k"] : [n / 1e6, " M"];
    return (value < 10 ? String(Number(value.toFixed(1))) : value.toFixed(0)) + unit;
  };
  const share = (part) => (part === 0 || part === 1 ? `${100 * part} %` : part < 0.0001 ? "<0.01 %" : Math.min(part * 100, 99.9).toFixed(part < 0.1 ? 2 : 1) + " %");
  const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;

  // Elements: `el("td.num", {title: "x"}, "text", child)`; strings become text nodes, nothing else.
  function el(what, attributes, ...children) {
    const [name, ...classes] = what.split(".");
    const made = document.createElement(name);
    if (classes.length) made.className = classes.join(" ");
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else if (value != null && value !== false) made.setAttribute(key, value === true ? "" : value);
    }
    for (const child of children.flat()) if (child != null && child !== "") made.append(child);
    return made;
  }

  // Charts are drawn again when their width changes.
  const drawn = new Map();
  const observer = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      const known = drawn.get(target);
      if (known && contentRect.width && Math.abs(contentRect.width - known.width) > 1) draw(target, contentRect.width);
    }
  });
  function draw(place, width) {
    const known = drawn.get(place);
    known.width = width;
    place.replaceChildren(known.make(Math.floor(width)));
  }
  function chart(make) {
    const place = el("div.chart");
    drawn.set(place, { make, width: 0 });
    observer.observe(place);
    return place;
  }
  const SMALL = { fontSize: "12px", background: "transparent", color: "var(--quiet)", overflow: "visible" };
  function plot(width, label, options) {
    const made = Plot.plot({ width, style: SMALL, marginLeft: 52, marginRight: 16, marginBottom: 34, marginTop: 20, ...options, ariaLabel: label });
    made.setAttribute("role", "img");
    return made;
  }
  const few = (width) => Math.max(2, Math.floor(width / 90));

  function figure(title, caption, ...parts) {
    return el("figure", null, el("h2", null, title), caption && el("figcaption", null, caption), ...parts);
  }

  // One bar per name, with its figure next to it.
  function bars(items, { value, text, small, open, colour, room }) {
    const most = Math.max(...items.map(value), 0) || 1;
    return el("ul.bars", null, items.map((item) => {
      const part = value(item) / most;
      const bar = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      bar.setAttribute("aria-hidden", "true");
      bar.setAttribute("height", "16");
      bar.style.width = value(item) > 0 ? `max(2px, (100% - ${room || 150}px) * ${part})` : "0";
      const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      for (const [key, set] of [["width", "100%"], ["height", "16"], ["fill", colour || "var(--accent)"]]) rect.setAttribute(key, set);
      bar.append(rect);
      const name = open && item.at != null
        ? el("button", { type: "button", title: item.name, onclick: () => open(item) }, item.name)
        : el("span", { title: item.whole || item.name }, item.name);
      return el("li", null, el("div.name", null, name),
        el("div.track", null, bar, el("span.figure", null, text(item), small && el(room ? "small.narrow-off" : "small", null, small(item)))));
    }));
  }

  // Models are shown by the end of their names, if that distinguishes them.
  function named(items, by) {
    const ends = items.map((item) => (by === "model" ? item.name.split("/").at(-1) : item.name));
    return new Set(ends).size < ends.length ? items : items.map((item, i) => ({ ...item, name: ends[i], whole: item.name }));
  }
  function spent(output) {
    return output.spent.map(({ by, bars: items, has_cost }) => figure(
      has_cost ? `Where did the money go, by ${by}?` : `Where did the tokens go, by ${by}?`,
      has_cost ? "USD, known costs" : "tokens; no cost is known",
      bars(named(items, by), {
        value: (item) => (has_cost ? item.cost : item.tokens),
        text: (item) => (has_cost ? money(item.cost) : compact(item.tokens)),
        small: (item) => plural(item.rows, "row"),
      })));
  }

  // The variants of a matrix: a group of lines for each model and a column for each prompt, or a line for each variant.
  const FORMS = { money: moneyOfRow, seconds, count, share };
  function variants(output) {
    const table = output.variants;
    if (!table) return null;
    const cells = table.lines.flatMap((line) => line.cells).filter(Boolean);
    const same = new Set(cells.map((cell) => cell.rows)).size === 1;
    const texts = table.measures.map(({ form }) => (value) => (value == null ? DASH : FORMS[form](value)));
    // Values that are written alike are equally good; where all are, none is the best.
    const best = table.measures.map((measure, m) => {
      const known = cells.map((cell) => cell.values[m]).filter((value) => value != null);
      if (!measure.best || !known.length) return null;
      const text = texts[m](Math[measure.best](...known));
      return known.length > 1 && known.some((value) => texts[m](value) !== text) ? text : null;
    });
    const figures = (cell) => table.measures.map((_, m) => {
      const text = cell ? texts[m](cell.values[m]) : DASH;
      return el("td.num", null, cell && text === best[m] ? el("strong", { title: "the best" }, text) : text);
    });
    const rows = (cell) => el("td.num", null, cell ? count(cell.rows) : DASH);
    const labels = table.measures.map((measure) => measure.label);
    const head = table.columns
      ? [el("td", null), ...table.columns.map((name) => el("th.num", { scope: "col" }, name))]
      : [...table.head.map((name) => el("th", { scope: "col" }, name)), same ? null : el("th.num", { scope: "col" }, "rows"), ...labels.map((label) => el("th.num", { scope: "col" }, label))];
    const group = (line) => {
      const columns = line.cells.map(figures);
      return el("tbody", null,
        el("tr", null, el("th.group", { scope: "rowgroup", colspan: line.cells.length + 1 }, el("span", null, line.labels[0]))),
        same ? null : el("tr", null, el("th", { scope: "row" }, "rows"), line.cells.map(rows)),
        labels.map((label, m) => el("tr", null, el("th", { scope: "row" }, label), columns.map((column) => column[m]))));
    };
    const lines = (line) => el("tr", null, line.labels.map((label) => el("th.own", { scope: "row" }, label)), same ? null : rows(line.cells[0]), figures(line.cells[0]));
    return el("section", { id: "variants" }, figure(table.title, [same ? `${plural(cells[0].rows, "row")} of each; costs are of answered ones.` : "Costs are of answered rows.", best.some(Boolean) ? "The best values are bold." : ""].filter(Boolean).join(" "),
      el("div.scroll", { tabindex: "0", role: "region", "aria-label": table.title }, el("table.variants" + (table.columns ? ".grid" : ""), null,
        el("thead", null, el("tr", null, head)), table.columns ? table.lines.map(group) : el("tbody", null, table.lines.map(lines)))),
      table.left_out ? el("p.quiet", null, `and ${count(table.left_out)} more; report --by ${table.by} --csv FILE has all`) : null));
  }

  const steps = (edges, values) => values.map((y, i) => ({ x1: edges[i], x2: edges[i + 1], x: (edges[i] + edges[i + 1]) / 2, y }));
  // A label that a dashed line would cross stands on the paper's colour.
  const ON_PAPER = { stroke: "var(--paper)", strokeWidth: 5 };
  // Pauses are named above the curve; where several are close to each other, only the first of them.
  function breaks(time, width) {
    const span = time.edges.at(-1) - time.edges[0], room = (120 / width) * span;
    const labelled = [];
    for (const pause of time.breaks) if (!labelled.length || pause.at - labelled.at(-1).at > room) labelled.push(pause);
    const atEnd = (pause) => time.edges.at(-1) - pause.at < room;
    const label = (textAnchor, dx, some) => Plot.text(some, { x: "at", text: "text", frameAnchor: "top", textAnchor, dx, dy: -9, fill: "var(--quiet)", ...ON_PAPER });
    return [
      Plot.ruleX(time.breaks, { x: "at", stroke: "var(--quiet)", strokeDasharray: "2,3" }),
      label("start", 0, labelled.filter((pause) => !atEnd(pause))), label("end", 0, labelled.filter(atEnd)),
    ];
  }
  const topFor = (time) => (time.breaks.length ? 36 : 20);
  function timeline(time, values, { label, name, unit, colour, format, height }) {
    const items = steps(time.edges, values);
    return chart((width) => plot(width, `${name} over the run`, {
      height: height || 150, marginTop: topFor(time),
      x: { label: `running time (${time.unit}) →`, ticks: few(width), domain: [time.edges[0], time.edges.at(-1)] },
      y: { label, grid: true, ticks: 4, tickFormat: format, domain: [0, Math.max(...values) * 1.06 || 1] },
      marks: [
        Plot.areaY(items, { x: "x", y: "y", fill: colour, fillOpacity: 0.14, curve: "monotone-x" }),
        Plot.lineY(items, { x: "x", y: "y", stroke: colour, strokeWidth: 1.6, curve: "monotone-x" }),
        Plot.ruleY([0], { stroke: "var(--line)" }),
        ...breaks(time, width),
        Plot.tip(items, Plot.pointerX({ x: "x", y: "y", title: (d) => `${format(d.y)} ${unit}\nat ${d.x.toPrecision(3)} ${time.unit}` })),
      ],
    }));
  }

  function overTime(output) {
    const time = output.time;
    if (!time) return [];
    const known = time.cost.at(-1) > 0;
    const both = [
      ...steps(time.edges, time.prompt_per_s).map((d) => ({ ...d, what: "prompt" })),
      ...steps(time.edges, time.reply_per_s).map((d) => ({ ...d, what: "reply" })),
    ];
    const most = Math.max(...both.map((d) => d.y)) * 1.1 || 1;
    // A line is named at the height it had over its last quarter: at the very end it falls.
    const last = (what) => {
      const own = both.filter((d) => d.what === what).slice(-24);
      return { ...own.at(-1), y: own.map((d) => d.y).sort((a, b) => a - b)[own.length >> 1] };
    };
    // Two labels at the ends of their lines, at least `gap` from each other, with the same middle.
    const apart = (a, b, gap) => {
      const middle = Math.max((a.y + b.y) / 2, gap / 2), half = Math.max(Math.abs(a.y - b.y), gap) / 2;
      return [{ ...a, at: a.y > b.y ? middle + half : middle - half }, { ...b, at: a.y > b.y ? middle - half : middle + half }];
    };
    const colour = (what) => (what === "prompt" ? "var(--sent)" : "var(--accent)");
    const tokens = chart((width) => plot(width, "tokens a second over the run", {
      height: 170, marginRight: 52, marginTop: topFor(time),
      x: { label: `running time (${time.unit}) →`, ticks: few(width), domain: [time.edges[0], time.edges.at(-1)] },
      y: { label: "↑ tokens a second", grid: true, ticks: 4, tickFormat: compact, domain: [0, most] },
      marks: [
        Plot.ruleY([0], { stroke: "var(--line)" }),
        ...["prompt", "reply"].flatMap((what) => [
          Plot.lineY(both.filter((d) => d.what === what), { x: "x", y: "y", stroke: colour(what), strokeWidth: 1.6, curve: "monotone-x" }),
        ]),
        Plot.text(apart(last("prompt"), last("reply"), most * 0.18), { x: "x", y: "at", text: "what", textAnchor: "start", dx: 8, fill: (d) => colour(d.what), fontWeight: 600 }),
        ...breaks(time, width),
        Plot.tip(both, Plot.pointer({ x: "x", y: "y", title: (d) => `${compact(d.y)} ${d.what} tokens a second\nat ${d.x.toPrecision(3)} ${time.unit}` })),
      ],
    }));
    return [
      known && figure("When was it spent?", `cost so far, USD; ${money(time.cost.at(-1))} in all`,
        timeline(time, time.cost, { label: "↑ USD so far", name: "cost", unit: "so far", colour: "var(--accent)", format: dollars(time.cost.at(-1)), height: 170 })),
      figure("How fast did tokens flow?", "prompt tokens sent and reply tokens received, as answers came in", tokens),
    ].filter(Boolean);
  }
  const dollars = (most) => (usd) => "$" + (most >= 100 ? count(usd) : most >= 1 ? usd.toFixed(2) : String(Number(usd.toPrecision(2))));

  function histogram(bins, { label, name, colour, format, rules, height }) {
    const items = steps(bins.edges, bins.counts);
    return chart((width) => {
      const marks = rules ? [["p50", bins.p50], ["p95", bins.p95], ["p99", bins.p99]].filter(([, x]) => x <= bins.edges.at(-1)) : [["p50", bins.p50]];
      const span = bins.edges.at(-1) - bins.edges[0];
      const last = (mark) => bins.edges.at(-1) - mark[1] < span * 58 / width; // no room to its right
      return plot(width, `${name}: how many rows lie where; half are below ${format(bins.p50)}`, {
        height: height || 190, marginTop: 34,
        x: { label: `${label} →`, ticks: few(width), tickFormat: compact, domain: [bins.edges[0], bins.edges.at(-1)] },
        y: { label: "↑ rows", grid: true, ticks: 4, tickFormat: compact, domain: [0, Math.max(...bins.counts) * 1.2] },
        marks: [
          Plot.rectY(items, { x1: "x1", x2: "x2", y: "y", fill: colour, inset: 0.5 }),
          Plot.ruleY([0], { stroke: "var(--line)" }),
          Plot.ruleX(marks, { x: (d) => d[1], stroke: "var(--ink)", strokeWidth: 1, strokeDasharray: "3,3" }),
          Plot.text(marks, {
            x: (d) => d[1], text: (d) => `${d[0]} ${format(d[1])}`, frameAnchor: "top", textAnchor: "start", dx: 4, fill: "var(--ink)", ...ON_PAPER,
            filter: (d, i) => !last(d) && (i === 0 || d[1] - marks[i - 1][1] > span * 96 / width),
          }),
          Plot.text(marks, {
            x: (d) => d[1], text: (d) => `${d[0]} ${format(d[1])}`, frameAnchor: "top", textAnchor: "end", dx: -4, fill: "var(--ink)", ...ON_PAPER,
            filter: (d, i) => last(d) && (i === 0 || d[1] - marks[i - 1][1] > span * (last(marks[i - 1]) ? 96 : 165) / width),
          }),
          Plot.tip(items, Plot.pointerX({ x: "x", y: "y", title: (d) => `${plural(d.y, "row")}\n${format(d.x1)} to ${format(d.x2)}` })),
        ],
      });
    });
  }
  const beyond = (bins, format) => (bins.beyond ? `; ${plural(bins.beyond, "row")} beyond the picture, up to ${format(bins.max)}` : "");

  function latencies(output) {
    const found = [];
    if (output.latency) {
      const bins = output.latency;
      found.push(figure("How long did answers take?",
        `${plural(bins.rows, "answer")}, the winning attempt; p50 ${seconds(bins.p50)} · p95 ${seconds(bins.p95)} · p99 ${seconds(bins.p99)}${beyond(bins, seconds)}`,
        histogram(bins, { label: "latency (seconds)", name: "latency", colour: "var(--accent)", format: seconds, rules: true })));
    }
    if (output.against) found.push(against(output.against));
    return found;
  }

  function against({ dots, cells, rows, beyond: over }) {
    const most = cells && Math.max(...cells.map((c) => c[4]));
    return figure("Do longer replies take longer?",
      (dots ? "a dot an answer" : `${count(rows)} answers; a stronger colour means more`) + (over ? `; ${count(over)} beyond the picture` : ""),
      chart((width) => plot(width, "latency against reply tokens", {
        height: 190, marginTop: 34,
        x: { label: "reply (tokens) →", ticks: few(width), tickFormat: compact, zero: true },
        y: { label: "↑ latency (seconds)", grid: true, ticks: 4, zero: true, tickFormat: compact },
        marks: dots
          ? [Plot.dot(dots, { x: "0", y: "1", r: 2.2, fill: "var(--accent)", fillOpacity: Math.min(0.75, Math.max(0.25, 90 / dots.length)) }),
             Plot.tip(dots, Plot.pointer({ x: "0", y: "1", title: (d) => `${count(d[0])} tokens in ${seconds(d[1])}` }))]
          : [Plot.rect(cells, { x1: "0", x2: "1", y1: "2", y2: "3", fill: "var(--accent)", fillOpacity: (d) => 0.06 + 0.94 * Math.sqrt(d[4] / most) }),
             Plot.tip(cells, Plot.pointer({ x: (d) => (d[0] + d[1]) / 2, y: (d) => (d[2] + d[3]) / 2, title: (d) => `${plural(d[4], "answer")}\n${count(d[0])} to ${count(d[1])} tokens\n${seconds(d[2])} to ${seconds(d[3])}` }))],
      })));
  }

  function lengths(output) {
    const tokens = (n) => `${count(n)} tokens`;
    return [["prompt", "How long were prompts?", "var(--sent)"], ["reply", "How long were replies?", "var(--accent)"]]
      .filter(([what]) => output[what])
      .map(([what, title, colour]) => figure(title, `${plural(output[what].rows, "row")}; p50 ${count(output[what].p50)} · p95 ${tokens(output[what].p95)}${beyond(output[what], tokens)}`,
        histogram(output[what], { label: `${what} (tokens)`, name: `${what} tokens`, colour, format: tokens, rules: false })));
  }

  function limit(output) {
    const time = output.time;
    if (!time) return null;
    const waited = output.wait ? ` An answered row waited ${seconds(output.wait.p50)} before its last attempt (p50; p95 ${seconds(output.wait.p95)}).` : "";
    return el("section", null, figure("Was the endpoint the limit?",
      `On average ${time.mean.toFixed(time.mean < 10 ? 1 : 0)} requests were in flight, at most ${count(time.peak)}.${waited} Drawn from each row's last attempt.`,
      el("div.pair", null,
        timeline(time, time.in_flight, { label: "↑ requests in flight", name: "requests in flight", unit: "in flight", colour: "var(--sent)", format: compact }),
        timeline(time, time.answers_per_s, { label: "↑ answers a second", name: "answers a second", unit: "answers a second", colour: "var(--accent)", format: compact }))));
  }

  function failures(output, open) {
    const rows = output.failures;
    const table = el("div.scroll", null, el("table", null,
      el("thead", null, el("tr", null, el("th.num", null, "rows"), el("th", null, "kind"), el("th", null, "for example"))),
      el("tbody", null, rows.map((f) => el("tr", null,
        el("td.num", null, count(f.rows)), el("td.bad", null, f.kind),
        el("td.wide", null, rowLink(f, open), " ", el("span.quiet", null, f.text)))))));
    const retries = output.retries;
    return el("section", null, figure("What failed, and why?",
      `${output.unanswered}. Retries: ${retries.text}.`,
      rows.length ? table : null,
      retries.kinds.length ? el("p.label", null, "retries by what they were for") : null,
      retries.kinds.length ? bars(retries.kinds.map((k) => ({ ...k, name: k.kind.replaceAll("_", " ") })), { value: (k) => k.count, text: (k) => count(k.count), colour: "var(--bad)" }) : null));
  }
  function rowLink(item, open) {
    return item.at != null && open.has(item.at)
      ? el("button", { type: "button", style: "border:0;padding:0;background:none;color:var(--accent)", onclick: () => open(item.at) }, item.id)
      : el("span", null, item.id);
  }

  // Of several samples or variants, an id alone does not say which row it is.
  const nameOf = (output, row) => [row.id, row.variant, output.samples > 1 ? `sample ${row.sample}` : ""].filter(Boolean).join(" · ");
  function mostExpensive(output, rows, open) {
    const named = output.dearest.map((item) => ({ ...item, row: rows.find((row) => row.at === item.at) })).filter((item) => item.row)
      .map((item) => ({ ...item, name: nameOf(output, item.row) }));
    if (!named.length) return null;
    return el("section", null, figure("Which rows cost the most?", "USD a row, all its attempts", bars(named, {
      value: (item) => item.cost, text: (item) => moneyOfRow(item.cost), open: (item) => open(item.at), room: 210,
      small: (item) => `${count(item.row.prompt)} in · ${count(item.row.reply)} out`,
    })));
  }

  // The table of rows.
  const COLUMNS = [
    { name: "id", get: (r) => r.id, cls: "id" },
    { name: "variant", get: (r) => r.variant, show: (r) => r.variant && r.variant.replace(/(^|,)model=[^,]*\//, "$1model="), cls: "variant", only: (o) => o.variants, off: true },
    { name: "sample", get: (r) => r.sample, num: true, only: (o) => o.samples > 1 },
    { name: "status", get: (r) => r.status + (r.kind ? ` ${r.kind}` : ""), show: (r) => (r.status === "answered" ? r.status : `${r.status}: ${r.kind || "unknown"}`), bad: (r) => r.status !== "answered" },
    { name: "by", get: (r) => r.by, only: (o) => o.by, head: (o) => o.by, cls: "short", off: true },
    { name: "model", get: (r) => r.model, cls: "short", only: (o) => o.models > 1 && o.by !== "model" && !(o.variants && o.variants.by.includes("variant_model")), off: true },
    { name: "prompt", get: (r) => r.prompt, num: true, show: (r) => count(r.prompt), off: true },
    { name: "reply", get: (r) => r.reply, num: true, show: (r) => count(r.reply) },
    { name: "cost", get: (r) => r.cost, num: true, show: (r) => (r.cost == null ? DASH : moneyOfRow(r.cost)) },
    { name: "latency", get: (r) => r.latency, num: true, show: (r) => seconds(r.latency) },
    { name: "attempts", get: (r) => r.attempts, num: true, show: (r) => count(r.attempts), off: true },
    { name: "text", head: () => "answer", get: (r) => answerOf(r), cls: "text", off: true },
  ];
  const UNITS = { prompt: "prompt tokens", reply: "reply tokens" };
  const answerOf = (r) => (r.error || (r.talk.length ? r.talk.at(-1)[1] : "")).slice(0, 160);
  const haystack = (r) => (r.hay ||= [r.id, r.variant, r.status, r.kind, r.model, r.by, r.error, ...r.talk.flat(), ...(r.more || []).flat()].join("\n").toLowerCase());
  const PAGE = 50;
  const PRINTED = 25; // by the style

  function rowsTable(output, rows, open) {
    const columns = COLUMNS.filter((c) => !c.only || c.only(output));
    const state = { words: "", status: "", sort: null, down: false, shown: PAGE };
    const body = el("tbody"), shownCount = el("span.quiet", { role: "status" }), more = el("button.more", { type: "button", onclick: () => { state.shown += 4 * PAGE; fill(); } });
    const head = el("tr", null, columns.map((c) => el("th" + (c.num ? ".num" : "") + (c.off ? ".narrow-off" : ""), { scope: "col" },
      el("button", { type: "button", onclick: () => { state.down = state.sort === c ? !state.down : Boolean(c.num); state.sort = c; fill(); } },
        c.head ? c.head(output) : UNITS[c.name] || c.name))));
    function found() {
      const words = state.words.toLowerCase().split(/\s+/).filter(Boolean);
      const list = rows.filter((r) => (!state.status || r.status === state.status) && words.every((w) => haystack(r).includes(w)));
      const by = state.sort;
      if (!by) return list;
      const sign = state.down ? -1 : 1;
      return list.sort((a, b) => {
        const [x, y] = [by.get(a), by.get(b)];
        if (x == null || y == null) return (x == null) - (y == null); // unknown comes last, whichever way
        return sign * (by.num ? x - y : String(x).localeCompare(String(y), "en", { numeric: true }));
      });
    }
    function fill() {
      const list = found();
      body.replaceChildren(...list.slice(0, state.shown).map((r) => el("tr", {
        tabindex: "0", "aria-haspopup": "dialog", onclick: () => open(r.at, list),
        onkeydown: (event) => {
          const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
          if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(r.at, list); }
          else if (step && event.currentTarget[step]) { event.preventDefault(); event.currentTarget[step].focus(); }
        },
      }, columns.map((c) => {
        const text = c.show ? c.show(r) : c.get(r);
        const classes = [c.cls, c.num && "num", c.off && "narrow-off", c.bad && c.bad(r) && "bad"].filter(Boolean);
        return el(["td", ...classes].join("."), { title: c.cls && c.cls !== "text" ? c.get(r) : null }, text == null ? DASH : String(text));
      }))));
      head.childNodes.forEach((th, i) => th.setAttribute("aria-sort", columns[i] !== state.sort ? "none" : state.down ? "descending" : "ascending"));
      shownCount.textContent = list.length === rows.length ? plural(rows.length, "row") : `${count(list.length)} of ${plural(rows.length, "row")}`;
      more.hidden = list.length <= state.shown;
      more.textContent = `Show ${count(Math.min(4 * PAGE, list.length - state.shown))} more`;
    }
    const statuses = [...new Set(rows.map((r) => r.status))].sort();
    const search = el("input", { type: "search", id: "search", placeholder: "Search ids, texts, errors", "aria-label": "Search rows", oninput: (e) => { state.words = e.target.value; state.shown = PAGE; fill(); } });
    const choose = el("select", { "aria-label": "Rows of which status", onchange: (e) => { state.status = e.target.value; state.shown = PAGE; fill(); } },
      el("option", { value: "" }, "all rows"), statuses.map((s) => el("option", { value: s }, `${s} only`)));
    fill();
    const all = rows.length === output.total;
    return el("section", { id: "rows" }, figure("What was asked and answered?",
      all ? "All rows. Open one to read it." : `${count(rows.length)} of ${plural(output.total, "row")}, not all: failed and invalid ones, the most expensive, the slowest, and others drawn at random. Open one to read it.`,
      el("div.controls", null, search, statuses.length > 1 ? choose : null, shownCount),
      el("div.scroll", null, el("table", null, el("thead", null, head), body)), more,
      rows.length > PRINTED ? el("p.print-only.quiet", null, `The first ${PRINTED} are printed; the page has ${count(rows.length)}.`) : null));
  }

  // One row, as a conversation.
  function openRow(output, rows, at, list) {
    const row = rows.find((r) => r.at === at);
    if (!row) return;
    const around = list || rows;
    const place = around.indexOf(row);
    const go = (to) => around[to] && openRow(output, rows, around[to].at, around);
    const facts = [
      ["status", row.status + (row.finish ? ` (${row.finish})` : "")], ["model", row.model], [output.by, row.by],
      ["variant", row.variant], ["sample", output.samples > 1 && `${row.sample} (0 to ${output.samples - 1})`], ["prompt", row.prompt != null && `${count(row.prompt)} tokens`], ["reply", row.reply != null && `${count(row.reply)} tokens`],
      ["cost", row.attempts != null && (row.cost == null ? "unknown" : `$${row.cost} ${row.source || ""}`.trim())],
      ["latency", row.latency != null && seconds(row.latency)], ["waited", row.wait != null && seconds(row.wait)], ["attempts", row.attempts],
      ["possibly billed", row.unsure && plural(row.unsure, "attempt")],
      ...(row.more || []).filter(([name]) => name !== output.by),
    ].filter(([name, value]) => name && value != null && value !== false && value !== "");
    show(nameOf(output, row), [
      el("button", { type: "button", disabled: place <= 0, "aria-label": "Row before", onclick: () => go(place - 1) }, "←"),
      el("button", { type: "button", disabled: place < 0 || place >= around.length - 1, "aria-label": "Row after", onclick: () => go(place + 1) }, "→"),
    ], [
      el("dl.facts", null, facts.map(([name, value]) => el("div", null, el("dt", null, name), el("dd", null, String(value))))),
      row.talk.map(turn),
      row.error ? el("div.turn.error", null, el("div.role", null, row.kind || "error"), el("div.words", null, row.error)) : null,
      row.talk.length || row.error ? null : el("p.quiet", null, "Nothing of this row could be read."),
    ]);
    dialog.onkeydown = (event) => { if (event.key === "ArrowLeft") go(place - 1); else if (event.key === "ArrowRight") go(place + 1); };
  }
  const turn = ([role, words]) => el("div.turn" + (role === "assistant" ? ".assistant" : ""), null, el("div.role", null, role), el("div.words", null, words));
  function show(title, buttons, parts) {
    const close = el("button", { type: "button", onclick: () => dialog.close() }, "Close");
    dialog.replaceChildren(el("header", null, el("h2", { id: "row-title" }, title), ...buttons, close), el("div.body", null, ...parts.flat()));
    dialog.onkeydown = null;
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    close.focus();
  }
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  // Outputs side by side.
  function compared() {
    const { measures, differ } = data.compare;
    const shown = { money: moneyOfRow, seconds, count: (n) => count(n), share };
    const parts = measures.map(({ title, unit, form, values }) => figure(title, unit, bars(
      data.outputs.map((output, i) => ({ name: output.label, value: values[i] })), {
        value: (item) => item.value ?? 0, text: (item) => (item.value == null ? "unknown" : shown[form](item.value)),
      })));
    const pairs = [];
    for (let i = 0; i < parts.length; i += 2) pairs.push(el("section.pair", null, parts[i], parts[i + 1]));
    const first = data.outputs[0].label;
    const table = differ.filter((d) => d.rows.length).flatMap((d) => d.rows.map((row) => el("tr", {
      tabindex: "0", onclick: () => sides(d, row), onkeydown: (e) => { if (e.key === "Enter") sides(d, row); },
    }, el("td.id", null, row.id), el("td.text.half", null, row.one.slice(0, 160)), el("td.text.half.narrow-off", null, row.other.slice(0, 160)), differ.length > 1 ? el("td.narrow-off", null, data.outputs[d.output].label) : null)));
    function sides(d, row) {
      show(row.id, [], [el("div.sides", null,
        turn2(first, row.one), turn2(data.outputs[d.output].label, row.other))]);
    }
    const turn2 = (path, words) => el("div.turn.assistant", null, el("div.role", null, path), el("div.words", null, words));
    const sums = differ.map((d) => `${data.outputs[d.output].label}: ${plural(d.differ, "answer")} of ${count(d.both)} that both have differ${d.differ === 1 ? "s" : ""} from ${first}`).join(". ");
    return [...pairs, el("section", null, figure("Which answers differ?", sums + (table.length ? ". Some of them, drawn at random; open one to read both." : "."),
      table.length ? el("div.scroll", null, el("table", null, el("thead", null, el("tr", null, el("th", null, "id"), el("th", null, first),
        el("th.narrow-off", null, differ.length > 1 ? "the other" : data.outputs[differ[0].output].label), differ.length > 1 ? el("th.narrow-off", null, "of") : null)), el("tbody", null, table))) : null))];
  }

  const pair = (figures) => (figures.length ? el("section" + (figures.length > 1 ? ".pair" : ""), null, figures) : null);
  function outputParts(output, rows) {
    const open = (at, list) => openRow(output, rows, at, list);
    const held = new Set(rows.map((row) => row.at));
    open.has = (at) => held.has(at);
    return [
      el("dl.four", null, output.figures.map((f) => el("div", null, el("dt", null, f.label), el("dd.value", null, f.value), el("dd.note", null, f.note)))),
      el("dl.notes", null, output.notes.flatMap(([topic, line]) => [el("dt", null, topic), el("dd", null, line)])),
      variants(output), pair(spent(output)), pair(overTime(output)), pair(latencies(output)), pair(lengths(output)), limit(output),
      failures(output, open), mostExpensive(output, rows, open), rowsTable(output, rows, open),
    ].filter(Boolean);
  }

  function start() {
    const several = data.outputs.length > 1;
    const place = el("div", several ? { role: "tabpanel", id: "output" } : null);
    const choose = (at) => {
      drawn.clear();
      observer.disconnect();
      for (const known of page.querySelectorAll(".chart")) known.remove();
      tabs.forEach((tab, i) => { tab.setAttribute("aria-selected", String(i === at)); tab.tabIndex = i === at ? 0 : -1; });
      place.replaceChildren(
        several ? el("p.under", { style: "margin-top:18px" }, [data.outputs[at].job, data.outputs[at].path, data.outputs[at].sentence].filter(Boolean).join(" · ")) : "",
        ...outputParts(data.outputs[at], data.rows[at]));
    };
    const tabs = several ? data.outputs.map((output, i) => el("button", {
      type: "button", role: "tab", "aria-controls": "output", onclick: () => choose(i),
      onkeydown: (e) => { const to = i + ({ ArrowRight: 1, ArrowLeft: -1 }[e.key] || 0); if (to !== i && tabs[to]) { choose(to); tabs[to].focus(); } },
    }, output.label)) : [];
    const one = data.outputs[0];
    page.replaceChildren(...[
      el("header", null, el("h1", null, data.headline), el("p.under", null, several ? "" : [one.job, one.path].filter(Boolean).join(" · "))),
      ...(several ? compared() : []),
      several ? el("div.tabs", { role: "tablist", "aria-label": "Outputs" }, tabs) : null,
      place,
      el("footer", null, `Made by batchchat ${data.version} on ${data.made}. This page is one file and asks for nothing from anywhere. Charts: Observable Plot and D3 (ISC licence).`),
    ].filter(Boolean));
    choose(0);
  }
  start();
})();
