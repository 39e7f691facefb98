import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FLAG_REPEATED, RULES_MAX } from "../../proto/columns.ts";
import { FEATURE_COUNT } from "../features/registry.ts";
import { type ASTNode, ruleEnvironment } from "./check.ts";
import { compileRuleSet } from "./compile.ts";
import { definitionOf, type Row, RowWriter } from "./row_testkit.ts";
import { RuleError, type RuleErrorCode } from "./rule_error.ts";

/** Whether an expression fires on a row. */
function fires(expression: string, row: Row): boolean {
  const w = new RowWriter(1);
  w.write(0, row);
  compileRuleSet(definitionOf([expression])).evaluate(w.block, w.F, 0, 1);
  return w.fired(0, 0);
}

test("faults of an expression are typed and name their characters", () => {
  const cases: [string, RuleErrorCode, string | null][] = [
    ["amont > 5.0", "unknown_variable", "amont"],
    ["has_card && zz == 1.0", "unknown_variable", "zz"],
    ["constructor == 1.0", "unknown_variable", "constructor"],
    ["amount == 5", "type", "amount == 5"],
    ["has_card && amount", "type", "has_card && amount"],
    ["amount + 1.0", "type", "amount + 1.0"],
    ["country == 5.0", "type", "country == 5.0"],
    ["country == 'gb'", "type", "'gb'"],
    ["currency in ['EUR', 'EURO']", "type", "'EURO'"],
    ["status == 'declined'", "type", "'declined'"],
    ["status == 'constructor'", "type", "'constructor'"],
    ["channel == ''", "type", "''"],
    ["amount > 1.0 &&", "syntax", null],
    ["channel.matches('^(a+)+$')", "unsupported", "channel.matches('^(a+)+$')"],
    ["channel.startsWith('e')", "unsupported", "channel.startsWith('e')"],
    ["[1.0].exists(x, x > amount)", "unsupported", null],
    ["double('5') > amount", "unsupported", "double('5')"],
    ["amount > 1.0 + 2.0 * double(3)", "unsupported", "double(3)"],
    ["size(channel) > 3", "unsupported", "size(channel)"],
    ["channel < 'b'", "unsupported", "channel < 'b'"],
    ["channel == category", "unsupported", "category"],
    ["has_card < has_ip", "unsupported", "has_card < has_ip"],
    ["1 + 2 > 2", "unsupported", "1 + 2"],
    ["3u > 2u", "unsupported", "3u"],
    ["9007199254740993 > amount", "unsupported", "9007199254740993"],
    ["has_value(amount + 1.0)", "unsupported", "amount + 1.0"],
    ["null == null", "unsupported", "null"],
    ["amount > 1.0".concat("||has_ip".repeat(205)), "limit", null],
    [`${"(".repeat(60)}has_card${")".repeat(60)}`, "limit", null],
    [`${"has_ip == (".repeat(14)}has_card${")".repeat(14)}`, "limit", null],
  ];
  for (const [expression, code, at] of cases) {
    assert.throws(
      () => compileRuleSet(definitionOf(["has_card", expression])),
      (e) => {
        assert.ok(e instanceof RuleError, `${expression}: ${e}`);
        assert.deepEqual([e.code, e.rule_id], [code, "r1"], `${expression}: ${e}`);
        assert.ok(e.range !== null && e.range.end <= expression.length, expression);
        if (at !== null) assert.equal(expression.slice(e.range.start, e.range.end), at, expression);
        return true;
      },
    );
  }
});

test("a whole set is limited too", () => {
  const wide = Array.from({ length: 40 }, (_, i) => `amount > ${i}.0`).join(" || ");
  assert.throws(
    () => compileRuleSet(definitionOf(Array.from({ length: RULES_MAX }, () => wide))),
    (e) => e instanceof RuleError && e.code === "limit" && e.rule_id === "",
  );
});

test("all 64 bits are written, and cleared", () => {
  const set = compileRuleSet(definitionOf(Array.from({ length: RULES_MAX }, (_, i) => `amount == ${i}.0`)));
  const w = new RowWriter(RULES_MAX + 1);
  w.block.rules.hi.fill(0xffffffff);
  w.block.rules.lo.fill(0xffffffff);
  for (let r = 0; r <= RULES_MAX; r++) w.write(r, { amount: r });
  set.evaluate(w.block, w.F, 0, RULES_MAX + 1);
  for (let r = 0; r <= RULES_MAX; r++) {
    for (let bit = 0; bit < RULES_MAX; bit++) assert.equal(w.fired(r, bit), r === bit, `row ${r} bit ${bit}`);
  }
});

test("only payments to decide are written", () => {
  const set = compileRuleSet(definitionOf(["true"]));
  const w = new RowWriter(5);
  for (let r = 0; r < 5; r++) w.write(r, {});
  w.block.kind[1] = 2;
  w.block.error[2] = 3;
  w.block.flags[3] = FLAG_REPEATED;
  set.evaluate(w.block, w.F, 0, 4);
  assert.deepEqual([...w.block.rules.lo.subarray(0, 5)], [1, 0, 0, 0, 0]);
  assert.throws(() => set.evaluate(w.block, w.F, 0, 6), RangeError);
  assert.throws(() => set.evaluate(w.block, new Float32Array(FEATURE_COUNT - 1), 0, 1), RangeError);
});

test("a clause over a missing value is false, negated too; has_value asks", () => {
  for (const e of [
    "user_speed_kmh > 5.0",
    "!(user_speed_kmh > 5.0)",
    "user_speed_kmh == user_speed_kmh",
    "user_speed_kmh != 5.0",
    "!(user_speed_kmh == 5.0)",
    "!(user_speed_kmh in [5.0])",
    "!(user_speed_kmh in [])",
    "-user_speed_kmh * 0.0 < 1.0",
    "0.0 / 0.0 != 1.0",
    "score >= 0.0",
    "!(score >= 0.0)",
    "country != 'DE'",
    "!(country == 'DE')",
    "!(channel in ['atm'])",
    "status != 'DECLINED'",
    "(user_speed_kmh > 1.0 ? 1.0 : 2.0) > 0.0",
    "user_speed_kmh > 1.0 ? true : true",
    "(user_speed_kmh > 1.0) == (user_speed_kmh > 1.0)",
    "has_value(user_speed_kmh) || has_value(score) || has_value(country) || has_value(category) || has_value(status)",
  ]) {
    assert.equal(fires(e, {}), false, e);
  }
  const known = { user_speed_kmh: 7, score: 0.25, country: "FR", category: "5411", status: "ATTEMPTED" };
  const all = "has_value(user_speed_kmh) && has_value(score) && has_value(country) && has_value(category)";
  assert.equal(fires(`${all} && has_value(status) && has_value(currency) && has_value(amount_minor)`, known), true);
  assert.equal(fires("country != 'DE' && !(country in ['DE', 'ES']) && user_speed_kmh != 5.0", known), true);
  assert.equal(fires("!has_value(channel) && !has_value(user_distance_km)", known), true);
});

test("text reaches the code as numbers only", () => {
  const hostile = '"];process.exit(1);//';
  const { source } = compileRuleSet(
    definitionOf([`channel == '${hostile}' // ${hostile}\n || category == "x\\u0000"`]),
  );
  assert.ok(!source.includes("process") && !source.includes("\u0000"));
});

const NUMBERS = ["amount", "score", "amount_minor", "user_count_1m", "merchant_risk_7d", "hour"];
const BOOLS = ["has_card", "has_device", "has_ip", "has_payee"];
const NAMES: Readonly<Record<string, readonly string[]>> = {
  currency: ["EUR", "USD", "JPY"],
  country: ["DE", "FR"],
  channel: ["atm", "ecommerce"],
  category: ["5411", "7995"],
  status: ["ATTEMPTED", "AUTHORISED", "DECLINED"],
};
/** Exact as float32, few enough that equality happens. */
const VALUES = [-2, -0.5, 0, 0.25, 1, 3, 100000];

const grammar = fc.letrec<{ bool: string; num: string }>((tie) => {
  const literal = fc.constantFrom(...VALUES.map((v) => (Number.isInteger(v) ? `${v}.0` : `${v}`)));
  const name = fc
    .constantFrom(...Object.keys(NAMES))
    .chain((n) => fc.tuple(fc.constant(n), fc.constantFrom(...NAMES[n])));
  const op = fc.constantFrom("==", "!=", "<", "<=", ">", ">=");
  return {
    num: fc.oneof(
      { maxDepth: 3, depthIdentifier: "n" },
      fc.constantFrom(...NUMBERS),
      literal,
      fc.tuple(tie("num"), fc.constantFrom("+", "-", "*"), tie("num")).map(([a, o, b]) => `(${a} ${o} ${b})`),
      fc.tuple(tie("num"), fc.constantFrom("2.0", "-0.5")).map(([a, b]) => `(${a} / ${b})`),
      tie("num").map((a) => `-(${a})`),
      fc.tuple(tie("bool"), tie("num"), tie("num")).map(([c, a, b]) => `(${c} ? ${a} : ${b})`),
    ),
    bool: fc.oneof(
      { maxDepth: 4, depthIdentifier: "b" },
      fc.tuple(tie("num"), op, tie("num")).map(([a, o, b]) => `(${a} ${o} ${b})`),
      fc.constantFrom(...BOOLS, "true", "false"),
      name.map(([n, v]) => `(${n} == '${v}')`),
      name.map(([n, v]) => `('${v}' != ${n})`),
      fc.constantFrom(...Object.keys(NAMES)).map((n) => `(${n} in ['${NAMES[n][0]}', '${NAMES[n][1]}'])`),
      fc.constantFrom(...NUMBERS, ...Object.keys(NAMES)).map((n) => `has_value(${n})`),
      fc.tuple(fc.constantFrom("<", ">="), fc.constantFrom(...NUMBERS)).map(([o, n]) => `(${n} ${o} 1)`),
      tie("num").map((a) => `(${a} in [1.0, 0.25, -2.0])`),
      fc
        .tuple(tie("bool"), fc.constantFrom("&&", "||", "==", "!="), tie("bool"))
        .map(([a, o, b]) => `(${a} ${o} ${b})`),
      tie("bool").map((a) => `!(${a})`),
      fc.tuple(tie("bool"), tie("bool"), tie("bool")).map(([c, a, b]) => `(${c} ? ${a} : ${b})`),
    ),
  };
});

function rows(missing: boolean): fc.Arbitrary<Row> {
  const maybe = <T>(a: fc.Arbitrary<T>) => (missing ? fc.option(a, { nil: undefined, freq: 2 }) : a);
  const entries: Record<string, fc.Arbitrary<unknown>> = {};
  for (const n of NUMBERS)
    entries[n] = n === "amount_minor" ? fc.constantFrom(...VALUES) : maybe(fc.constantFrom(...VALUES));
  for (const b of BOOLS) entries[b] = fc.boolean();
  for (const [n, values] of Object.entries(NAMES)) {
    entries[n] = n === "currency" ? fc.constantFrom(...values) : maybe(fc.constantFrom(...values));
  }
  const record = fc.record(entries);
  return record.map((r) => Object.fromEntries(Object.entries(r).filter(([, v]) => v !== undefined)) as Row);
}

/** Compiles, or skips the case when the random expression is past a limit. */
function compiled(expression: string): ReturnType<typeof compileRuleSet> {
  try {
    return compileRuleSet(definitionOf([expression]));
  } catch (e) {
    fc.pre(!(e instanceof RuleError && e.code === "limit"));
    throw e;
  }
}

test("on rows without missing values the code agrees with the CEL interpreter", () => {
  const env = ruleEnvironment();
  let [fired, silent] = [0, 0];
  fc.assert(
    fc.property(grammar.bool, fc.array(rows(false), { minLength: 8, maxLength: 8 }), (expression, batch) => {
      const set = compiled(expression);
      const interpret = env.parse(expression);
      const w = new RowWriter(batch.length);
      for (const [r, row] of batch.entries()) w.write(r, row);
      set.evaluate(w.block, w.F, 0, batch.length);
      for (const [r, row] of batch.entries()) {
        const wanted = interpret(row) as boolean;
        assert.equal(w.fired(r, 0), wanted, JSON.stringify(row));
        if (wanted) fired++;
        else silent++;
      }
    }),
    { numRuns: 400 },
  );
  assert.ok(fired > 300 && silent > 300, `one-sided: ${fired} fired, ${silent} not`);
});

type Truth = boolean | number | string | null;

/** The contract of missing values, said plainly: null is unknown. Slow, and shares nothing with the compiler. */
function kleene(n: ASTNode, row: Row): Truth {
  const a = n.args as ASTNode[];
  if (n.op === "value") return typeof n.args === "bigint" ? Number(n.args) : (n.args as Truth);
  if (n.op === "id") return row[n.args] ?? null;
  if (n.op === "call") return row[n.args[1][0].args as string] !== undefined;
  if (n.op === "!_" || n.op === "-_") {
    const v = kleene(n.args, row);
    if (v === null) return null;
    return n.op === "!_" ? !v : -(v as number);
  }
  if (n.op === "in") {
    const v = kleene(a[0], row);
    return v === null ? null : (a[1].args as ASTNode[]).some((x) => kleene(x, row) === v);
  }
  const x = kleene(a[0], row);
  if (n.op === "?:") return x === null ? null : kleene(x ? a[1] : a[2], row);
  const y = kleene(a[1], row);
  if (n.op === "&&") return x === false || y === false ? false : x === null || y === null ? null : true;
  if (n.op === "||") return x === true || y === true ? true : x === null || y === null ? null : false;
  if (x === null || y === null) return null;
  const operations: Record<string, (p: number, q: number) => Truth> = {
    "==": () => x === y,
    "!=": () => x !== y,
    "<": (p, q) => p < q,
    "<=": (p, q) => p <= q,
    ">": (p, q) => p > q,
    ">=": (p, q) => p >= q,
    "+": (p, q) => p + q,
    "-": (p, q) => p - q,
    "*": (p, q) => p * q,
    "/": (p, q) => p / q,
  };
  return operations[n.op](x as number, y as number);
}

test("on rows with missing values the code follows three-valued logic, and fires on true only", () => {
  const env = ruleEnvironment();
  let [fired, unknown] = [0, 0];
  fc.assert(
    fc.property(grammar.bool, fc.array(rows(true), { minLength: 8, maxLength: 8 }), (expression, batch) => {
      const set = compiled(expression);
      const { ast } = env.parse(expression);
      const w = new RowWriter(batch.length);
      for (const [r, row] of batch.entries()) w.write(r, row);
      set.evaluate(w.block, w.F, 0, batch.length);
      for (const [r, row] of batch.entries()) {
        const wanted = kleene(ast, row);
        assert.equal(w.fired(r, 0), wanted === true, `${wanted} ${JSON.stringify(row)}`);
        if (wanted === true) fired++;
        if (wanted === null) unknown++;
      }
    }),
    { numRuns: 400 },
  );
  assert.ok(fired > 200 && unknown > 200, `one-sided: ${fired} fired, ${unknown} unknown`);
});
