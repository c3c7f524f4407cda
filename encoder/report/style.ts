// The style of the report page. Colours are told apart with every kind of colour vision (after Okabe and Ito) and have a
// contrast of at least 4.5 where they carry text, 3 where they are lines, in light and dark.

/** CSS of the page. */
export const STYLE = `
:root{--bg:#fbfaf8;--card:#fff;--ink:#1b1d22;--soft:#5d636e;--line:#e3e1db;--grid:#eceae4;--shade:#f4f2ed;
--c1:#0072b2;--c2:#b34e00;--c3:#007a5a;--c4:#a8447f;--c5:#7a6a00;--c6:#3a6fd8;--c7:#8a3b12;--c8:#50565f;--left:#c9ccd2}
@media (prefers-color-scheme:dark){:root{--bg:#14161a;--card:#1c1f25;--ink:#eceef2;--soft:#a2a9b5;--line:#30343c;--grid:#272b32;--shade:#22262d;
--c1:#56b4e9;--c2:#f0974a;--c3:#3ecfa0;--c4:#e58cc0;--c5:#e0cf4d;--c6:#8fb0ff;--c7:#e0a080;--c8:#b4bac4;--left:#4a505a}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:1120px;padding:2.5rem 1.25rem 3rem;background:var(--bg);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;font-variant-numeric:tabular-nums}
h1{margin:.1rem 0 .4rem;font-size:clamp(1.7rem,4vw,2.5rem);line-height:1.15;letter-spacing:-.02em;overflow-wrap:anywhere}
h2{margin:0 0 .6rem;font-size:1.25rem;letter-spacing:-.01em}
h3{margin:1.2rem 0 .5rem;font-size:1rem}
p{margin:.4rem 0;max-width:72ch}
a{color:var(--c1)}
code{font:.9em ui-monospace,Menlo,Consolas,monospace}
.kicker{margin:0;color:var(--c1);font-weight:600;font-size:.8rem;letter-spacing:.08em;text-transform:uppercase}
.lead{color:var(--soft);font-size:1.02rem}
.hint{color:var(--soft);font-size:.88rem}
section{margin-top:1.25rem;padding:1.4rem 1.5rem 1.5rem;background:var(--card);border:1px solid var(--line);border-radius:14px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.75rem;margin:1.6rem 0 0}
.tile{padding:1rem 1.1rem;background:var(--card);border:1px solid var(--line);border-radius:14px}
.tile dt{color:var(--soft);font-size:.85rem}
.tile dd{margin:.15rem 0 0;font-size:1.75rem;font-weight:650;letter-spacing:-.02em;line-height:1.2}
.tile small{display:block;margin-top:.2rem;color:var(--soft);font-size:.8rem;font-weight:400;letter-spacing:0;line-height:1.35}
.scroll{overflow-x:auto}
figure{margin:1rem 0 0}
.wide svg{min-width:42rem}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{padding:.42rem .7rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:baseline}
tbody tr:last-child>*{border-bottom:0}
thead th{color:var(--soft);font-weight:500;font-size:.82rem;white-space:nowrap}
tbody th{font-weight:500}
.number{text-align:right;white-space:nowrap}
.plain{width:auto;min-width:min(100%,28rem)}
.meter{display:block;height:.5rem;min-width:6rem;border-radius:4px;background:var(--shade)}
.meter i{display:block;height:100%;border-radius:4px;background:var(--c1)}
.stack{display:flex;gap:2px;height:2rem;margin:.9rem 0;border-radius:8px;overflow:hidden}
.key{display:inline-block;width:.8em;height:.8em;margin-right:.5em;border-radius:3px}
.fill-c1{background:var(--c1)}.fill-c2{background:var(--c2)}.fill-c3{background:var(--c3)}.fill-left{background:var(--left)}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;margin:.2rem 0 .6rem;padding:0;list-style:none;font-size:.86rem;color:var(--soft)}
.legend svg{width:2rem;height:.8rem;margin-right:.4rem;vertical-align:-.05rem;display:inline-block}
svg{display:block;width:100%;height:auto;overflow:visible}
.grid{stroke:var(--grid);stroke-width:1;fill:none}
.tick,.label{fill:var(--soft);font-size:11px}
.label{font-size:11.5px}
.end{text-anchor:end}.middle{text-anchor:middle}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round}
.hull{fill:none;stroke:var(--soft);stroke-width:1.3}
.cut{stroke:var(--line);stroke-width:1;stroke-dasharray:2 3}
.s1{stroke:var(--c1)}.s2{stroke:var(--c2)}.s3{stroke:var(--c3)}.s4{stroke:var(--c4)}.s5{stroke:var(--c5)}.s6{stroke:var(--c6)}.s7{stroke:var(--c7)}.s8{stroke:var(--c8)}
.d1{fill:var(--c1)}.d2{fill:var(--c2)}.d3{fill:var(--c3)}.d4{fill:var(--c4)}
.ring{fill:none;stroke:var(--ink);stroke-width:1.4}
.name{fill:var(--ink);font-size:10px;font-weight:600}
.hulls{display:grid;grid-template-columns:repeat(auto-fill,minmax(15.5rem,1fr));gap:1rem 1.2rem;margin:.6rem 0 0;padding:0;list-style:none}
.hulls h4{margin:0 0 .15rem;font-size:.88rem;font-weight:600}
.hulls p{margin:0;color:var(--soft);font-size:.78rem}
details{margin-top:.8rem}
summary{cursor:pointer;color:var(--soft);font-size:.9rem}
summary:hover{color:var(--ink)}
:focus-visible{outline:2px solid var(--c1);outline-offset:3px;border-radius:4px}
footer{margin-top:1.5rem;color:var(--soft);font-size:.88rem}
@media (max-width:34rem){section{padding:1.1rem 1rem}th,td{padding:.4rem .45rem}}
@media print{body{max-width:none;padding:0}section,.tile{break-inside:avoid}}
`;
