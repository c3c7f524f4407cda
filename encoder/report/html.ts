// Text and headings of the report page.

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text for HTML, in content and in attributes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}

/** A part of the page with its heading. */
export function section(id: string, title: string, content: string): string {
  return `<section aria-labelledby="${id}-h"><h2 id="${id}-h">${title}</h2>\n${content}\n</section>`;
}
