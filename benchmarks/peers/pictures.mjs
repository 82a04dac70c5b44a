// Shared by the adapters of npm packages: arguments, decoding of pictures, TensorFlow.js on one thread, the csv file.

import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';

/** Read `--modules <folder with node_modules> crops|photos <list> <answers.csv>`. */
export function readArguments() {
  const words = process.argv.slice(2);
  if (words.length !== 5 || words[0] !== '--modules' || !['crops', 'photos'].includes(words[2])) {
    console.error('usage: node <adapter> --modules <folder with node_modules> crops|photos <list> <answers.csv>');
    process.exit(2);
  }
  const folder = path.resolve(words[1]);
  const require = createRequire(path.join(folder, 'package.json'));
  const pictures = fs.readFileSync(words[3], 'utf8').split('\n').filter((line) => line);
  return { require, modules: path.join(folder, 'node_modules'), task: words[2], pictures, answers: words[4] };
}

/** Start TensorFlow.js with its WebAssembly backend on one thread. */
export async function startTensorFlow(require, modules) {
  const tf = require('@tensorflow/tfjs');
  const wasm = require('@tensorflow/tfjs-backend-wasm');
  wasm.setWasmPaths(path.join(modules, '@tensorflow/tfjs-backend-wasm/dist/'));
  wasm.setThreadsCount(1);
  await tf.setBackend('wasm');
  await tf.ready();
  return tf;
}

/** Decode a PNG or JPEG file; return an int32 tensor (height, width, 3), RGB, 0 to 255. */
export function readPicture(tf, require, file) {
  const bytes = fs.readFileSync(file);
  const png = bytes[0] === 0x89;
  const { width, height, data } = png ? require('pngjs').PNG.sync.read(bytes) : require('jpeg-js').decode(bytes);
  const rgb = new Int32Array(width * height * 3);
  for (let i = 0; i < width * height; i++) for (let c = 0; c < 3; c++) rgb[3 * i + c] = data[4 * i + c];
  return tf.tensor3d(rgb, [height, width, 3], 'int32');
}

/**
 * Write one row per picture. `ask(tensor)` returns `{ box: [x, y, width, height] or null, scores }`, or null for a miss.
 * The CPU time of this call is measured, without reading and decoding the file.
 */
export async function writeAnswers(tf, run, order, ask, facts) {
  const rows = [['picture', 'x', 'y', 'width', 'height', 'cpu_ms', ...order]];
  for (const file of run.pictures) {
    const pixels = readPicture(tf, run.require, file);
    const before = process.cpuUsage();
    const found = await ask(pixels);
    const spent = process.cpuUsage(before);
    pixels.dispose();
    const box = found?.box?.map((side) => side.toFixed(1)) ?? ['', '', '', ''];
    const scores = found ? found.scores : order.map(() => '');
    rows.push([file, ...box, ((spent.user + spent.system) / 1000).toFixed(3), ...scores]);
  }
  const quoted = (cell) => (/[",]/.test(String(cell)) ? `"${String(cell).replaceAll('"', '""')}"` : cell);
  fs.writeFileSync(run.answers, rows.map((row) => row.map(quoted).join(',')).join('\n') + '\n');
  fs.writeFileSync(run.answers.replace(/\.csv$/, '.json'), JSON.stringify(facts, null, 1) + '\n');
}
