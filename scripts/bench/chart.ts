/**
 * Charts of results: horizontal bars, as SVG, for light and for dark pages.
 *
 * @module
 */

/** One bar. */
export interface Bar {
  readonly name: string;
  readonly value: number;
  /** What stands behind it. */
  readonly label: string;
}

/** Bars that are compared with each other. */
export interface BarGroup {
  readonly title: string;
  readonly bars: readonly Bar[];
}

/** What a chart shows. */
export interface Chart {
  readonly title: string;
  readonly subtitle: string;
  readonly groups: readonly BarGroup[];
}

/** Colours of a page. */
interface Theme {
  readonly text: string;
  readonly muted: string;
  readonly ours: string;
  readonly others: string;
}

/** The two sorts of pages. */
export const THEMES: Readonly<Record<"light" | "dark", Theme>> = {
  light: { text: "#1f2328", muted: "#656d76", ours: "#1a7f64", others: "#c9d1d9" },
  dark: { text: "#e6edf3", muted: "#8d96a0", ours: "#3fb68b", others: "#3d444d" },
};

const WIDTH = 840, LEFT = 150, RIGHT = 130, BAR = 16, GAP = 4, GROUP_GAP = 18, TOP = 66;

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}

/** A chart; the first bar of each group is ours, and the longest of each group has the full width. */
export function svg({ title, subtitle, groups }: Chart, theme: Theme): string {
  const parts: string[] = [];
  let y = TOP;
  const text = (x: number, top: number, content: string, fill: string, more = "") =>
    parts.push(`<text x="${x}" y="${top}" fill="${fill}"${more}>${escape(content)}</text>`);
  text(0, 20, title, theme.text, ' font-size="17" font-weight="600"');
  text(0, 40, subtitle, theme.muted, ' font-size="12"');
  for (const group of groups) {
    text(0, y + 12, group.title, theme.text, ' font-weight="600"');
    y += 20;
    const max = Math.max(...group.bars.map(({ value }) => value));
    for (const [i, { name, value, label }] of group.bars.entries()) {
      const width = max > 0 ? Math.max(2, Math.round(value / max * (WIDTH - LEFT - RIGHT))) : 2;
      const [fill, ink] = i === 0 ? [theme.ours, theme.text] : [theme.others, theme.muted];
      text(LEFT - 8, y + 12, name, ink, ' text-anchor="end"');
      parts.push(
        `<rect x="${LEFT}" y="${y}" width="${width}" height="${BAR}" rx="2" fill="${fill}"/>`,
      );
      text(LEFT + width + 6, y + 12, label, ink);
      y += BAR + GAP;
    }
    y += GROUP_GAP;
  }
  const height = y - GROUP_GAP + 4;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${
    escape(title)
  }" font-family="system-ui, -apple-system, 'Segoe UI', sans-serif" font-size="12">\n${
    parts.join("\n")
  }\n</svg>\n`;
}
