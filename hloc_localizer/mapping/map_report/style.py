"""The style sheet of the report: light and dark, nothing from outside."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --muted: #647080; --line: #dfe4ea;
  --card: #ffffff; --page: #f4f6f8; --accent: #2f6fdb; --accent2: #7aa7f0; --good: #0f9d7a;
  --fair: #e0a100; --bad: #d6452b; --wrong: #8b1fa9; --known: #b9c3cf; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --muted: #97a3b3; --line: #2c3440;
  --card: #171c23; --page: #0e1217; --accent: #6ea2ff; --accent2: #3a5f9e; --good: #2cc79e;
  --fair: #f0bd3a; --bad: #ff6f52; --wrong: #cf74e6; --known: #4a5563; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 1020px; margin: 0 auto; padding: 2.2rem 1.2rem 4rem; }
header h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .35rem; letter-spacing: -.01em; }
header p { margin: 0; color: var(--muted); overflow-wrap: anywhere; }
.badges { display: flex; flex-wrap: wrap; gap: .4rem; margin: .8rem 0 1.4rem; }
.badge { border: 1px solid var(--line); background: var(--card); border-radius: 99px;
  padding: .1rem .7rem; font-size: .85rem; }
.badge.bad { border-color: var(--bad); color: var(--bad); }
.verdict { border-left: 5px solid var(--good); background: var(--card); border-radius: 6px;
  padding: .8rem 1.1rem; font-size: 1.05rem; margin: 0 0 1.3rem; }
.verdict.fair { border-color: var(--fair); } .verdict.bad { border-color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .7rem; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .7rem .9rem; }
.tile b { display: block; font-size: 1.45rem; font-weight: 650; line-height: 1.25;
  font-variant-numeric: tabular-nums; }
.tile span { color: var(--muted); font-size: .85rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 1.2rem 1.3rem 1.3rem; margin-top: 1.3rem; }
h2 { font-size: 1.15rem; margin: 0 0 .3rem; } h3 { font-size: .98rem; margin: 1.2rem 0 .3rem; }
p.lead { margin: 0 0 .9rem; color: var(--muted); max-width: 75ch; }
figure { margin: 0; min-width: 0; } figcaption { color: var(--muted); font-size: .87rem; }
svg { display: block; width: 100%; height: auto; margin: 0 auto; }
.plans { display: flex; flex-wrap: wrap; gap: 1.2rem; justify-content: space-around; }
.plans figure { flex: 1 1 380px; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 1.2rem; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; font-size: .88rem; margin: .2rem 0; }
.legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: 3px;
  margin-right: .4rem; vertical-align: -1px; }
.shots { display: grid; grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); gap: .6rem; }
.shots figure { border: 1px solid var(--line); border-radius: 6px; overflow: hidden; }
.shots img { display: block; width: 100%; height: auto; background: var(--line); }
.shots figcaption { padding: .25rem .5rem .35rem; font-size: .78rem; line-height: 1.35; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
td, th { text-align: left; padding: .28rem .7rem .28rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; } th { color: var(--muted); font-weight: 500; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
text { fill: var(--ink); font-size: 12px; } text.tick { fill: var(--muted); }
text.title { fill: var(--muted); font-size: 12.5px; }
.middle { text-anchor: middle; } .end { text-anchor: end; }
.grid { stroke: var(--line); fill: none; } .mark { stroke: var(--ink); stroke-dasharray: 4 3; }
.bar { fill: var(--accent); } .line { stroke: var(--accent); fill: none; stroke-width: 1.6; }
.way { stroke: var(--accent); fill: none; stroke-width: 1.6; stroke-linejoin: round; }
.way.faint { opacity: .45; stroke-width: 1.1; }
.view { fill: var(--accent); opacity: .35; }
.field { opacity: .38; } .field.bad, .field.wrong { opacity: .6; }
.dot { stroke: var(--card); stroke-width: .8; }
.rose { fill: var(--card); fill-opacity: .72; stroke: var(--line); }
.petal { stroke: var(--card); stroke-width: 1; }
.good { fill: var(--good); } .fair { fill: var(--fair); } .bad { fill: var(--bad); }
.wrong { fill: var(--wrong); } .known { fill: var(--known); }
i.good { background: var(--good); } i.fair { background: var(--fair); }
i.bad { background: var(--bad); } i.wrong { background: var(--wrong); }
i.known { background: var(--known); } i.none { border: 1px solid var(--known); }
i.way { background: var(--accent); }
.stage { stroke: var(--card); } .s0 { fill: var(--accent); } .s1 { fill: var(--accent2); }
.s2 { fill: var(--good); } .s3 { fill: var(--known); }
.badge.bad, .verdict { fill: none; }
"""
