// Places for titles that were not trained on, foretold from what the catalogue says of them.
import { symmetricMatrix } from './invert.ts';
import { placesOf, type TitleEmbeddings } from './tables.ts';

/** Makes each row of `values` [rows, width] as long as 1; rows of zeros stay. */
export function toUnitRows(values: Float32Array, width: number): void {
  for (let start = 0; start < values.length; start += width) {
    const row = values.subarray(start, start + width);
    const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    if (length > 0) for (let at = 0; at < width; at += 1) row[at] = (row[at] ?? 0) / length;
  }
}

/** Added to the diagonal when learned places are foretold from metadata, in units of one title. */
const RIDGE = 1;

/**
 * Learned places for all titles of a catalogue: those that were trained keep theirs, others get what a ridge regression
 * from metadata (agent/predict/embed.ts) to learned places foretells; zeros where nothing is known of them.
 */
export function extendEmbeddings(learned: TitleEmbeddings, metadata: TitleEmbeddings): TitleEmbeddings {
  const known = placesOf(learned.titleIds);
  const map = ridgeMap(metadata, learned);
  const added = metadata.titleIds.flatMap((id, row) => (known.has(id) ? [] : [{ id, row }]));
  const { width } = learned;
  const values = new Float32Array((learned.titleIds.length + added.length) * width);
  values.set(learned.values);
  added.forEach(({ row }, place) => {
    const start = (learned.titleIds.length + place) * width;
    for (let from = 0; from < metadata.width; from += 1) {
      const value = metadata.values[row * metadata.width + from] ?? 0;
      for (let to = 0; to < width; to += 1) {
        values[start + to] = (values[start + to] ?? 0) + value * (map[from * width + to] ?? 0);
      }
    }
  });
  toUnitRows(values.subarray(learned.values.length), width);
  return { titleIds: [...learned.titleIds, ...added.map(({ id }) => id)], width, values };
}

/** (XT X + ridge)^-1 XT Y, [metadata.width, learned.width], over titles that have both places. */
function ridgeMap(metadata: TitleEmbeddings, learned: TitleEmbeddings): Float64Array {
  const { width } = learned;
  const inputs = metadata.width;
  const known = placesOf(learned.titleIds);
  const gram = symmetricMatrix(inputs);
  const mixed = new Float64Array(inputs * width);
  metadata.titleIds.forEach((id, from) => {
    const to = known.get(id);
    if (to === undefined) return;
    const x = metadata.values.subarray(from * inputs, (from + 1) * inputs);
    x.forEach((value, row) => {
      for (let column = 0; column <= row; column += 1) gram.add(row, column, value * (x[column] ?? 0));
      for (let at = 0; at < width; at += 1) {
        mixed[row * width + at] = (mixed[row * width + at] ?? 0) + value * (learned.values[to * width + at] ?? 0);
      }
    });
  });
  for (let at = 0; at < inputs; at += 1) gram.add(at, at, RIDGE);
  gram.invert();
  return Float64Array.from({ length: inputs * width }, (_, place) => {
    const row = Math.floor(place / width);
    let sum = 0;
    for (let at = 0; at < inputs; at += 1) sum += gram.at(row, at) * (mixed[at * width + (place % width)] ?? 0);
    return sum;
  });
}
