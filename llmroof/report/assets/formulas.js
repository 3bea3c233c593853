"use strict";
// Evaluates the recorded formulas: the same steps, in the same double precision, as the engine.

/** operation -> code; the order is that of the page's content */
function makeRunner(operations) {
  const code = Object.fromEntries(operations.map((name, index) => [name, index]));
  const {
    add, subtract, multiply, divide, power, maximum, minimum, logical_and, logical_or, less,
    less_equal, greater, greater_equal, equal, not_equal, sqrt, square, exp, exp2, log, log2,
    log10, floor, ceil, negative, absolute, sign, logical_not, where, clip,
  } = code;
  return function run(program, constants, inputs) {
    const { steps, values: v } = program;
    let place = 0;
    for (const name of program.inputs) v[place++] = inputs[name];
    for (const constant of constants) v[place++] = constant;
    for (let at = 0; at < steps.length; at += 4) {
      const a = v[steps[at + 1]], b = v[steps[at + 2]], c = v[steps[at + 3]];
      let r;
      switch (steps[at]) {
        case add: r = a + b; break;
        case subtract: r = a - b; break;
        case multiply: r = a * b; break;
        case divide: r = a / b; break;
        case power: r = Math.pow(a, b); break;
        case maximum: r = Math.max(a, b); break;
        case minimum: r = Math.min(a, b); break;
        case logical_and: r = a && b ? 1 : 0; break;
        case logical_or: r = a || b ? 1 : 0; break;
        case less: r = a < b ? 1 : 0; break;
        case less_equal: r = a <= b ? 1 : 0; break;
        case greater: r = a > b ? 1 : 0; break;
        case greater_equal: r = a >= b ? 1 : 0; break;
        case equal: r = a === b ? 1 : 0; break;
        case not_equal: r = a !== b ? 1 : 0; break;
        case sqrt: r = Math.sqrt(a); break;
        case square: r = a * a; break;
        case exp: r = Math.exp(a); break;
        case exp2: r = Math.pow(2, a); break;
        case log: r = Math.log(a); break;
        case log2: r = Math.log2(a); break;
        case log10: r = Math.log10(a); break;
        case floor: r = Math.floor(a); break;
        case ceil: r = Math.ceil(a); break;
        case negative: r = -a; break;
        case absolute: r = Math.abs(a); break;
        case sign: r = Math.sign(a); break;
        case logical_not: r = a ? 0 : 1; break;
        case where: r = a ? b : c; break;
        case clip: r = Math.min(Math.max(a, b), c); break;
        default: throw new Error("unknown operation " + steps[at]);
      }
      v[place++] = r;
    }
    return v;
  };
}

/** The deployments of the content with a method `at(work)` -> function(name) -> number. */
function readyContent(content) {
  const run = makeRunner(content.operations);
  for (const program of content.programs) {
    program.steps = Int32Array.from(program.steps);
    const size = program.inputs.length + program.constants + program.steps.length / 4;
    program.values = new Float64Array(size);
  }
  for (const gpu of content.gpus) gpu.label = gpu.short;
  for (const one of content.deployments) {
    const program = content.programs[one.program];
    const constants = Float64Array.from(one.constants, Number);
    one.hardware = content.gpus.find((gpu) => gpu.id === one.gpu);
    one.plan = planName(one);
    // values are overwritten by the next evaluation: `all` copies, `at` reads at once
    one.at = (work) => {
      const values = run(program, constants, work).slice();
      return (name) => values[program.outputs[name]];
    };
    one.some = (work, names) => {
      const values = run(program, constants, work);
      return names.map((name) => values[program.outputs[name]]);
    };
    one.has = (name) => name in program.outputs;
  }
  return content;
}

function planName(one) {
  const split = ["tp", "pp", "dp", "ep"].filter((name) => name === "tp" || one[name] > 1);
  return split.map((name) => name + one[name]).join("-");
}
