/**
 * From a checked CEL tree to JavaScript over the columns.
 *
 * Missing values: a comparison (==, !=, <, <=, >, >=, in) with a missing operand is unknown, `!`, `&&`, `||` and `?:`
 * follow three-valued logic (Kleene), arithmetic with a missing operand is missing, and a rule fires only on true. So a
 * clause over a missing value never helps a rule to fire, under `!` neither; `has_value(x)` asks for it. The code stays
 * two-valued: negation is pushed down to the comparisons, and each comparison, and each negated one, is written so that
 * NaN (or code 0 of a name) makes it false. 0.0 / 0.0 is missing too.
 *
 * Nothing of the rule's text reaches the code but numbers (through Number and String), names (through the table of
 * variables) and strings (as the integers they have in a column).
 */
import type { ASTNode } from "./check.ts";
import { RuleError } from "./rule_error.ts";
import { VARIABLES, type Variable } from "./variables.ts";

/** Pieces of code one rule may grow to: negation and `?:` write a condition twice, nested ones more often. */
export const PIECES_MAX = 1000;

type Kind = "bool" | "double" | "int" | "string";
type Comparison = "==" | "!=" | "<" | "<=" | ">" | ">=";

const ARITHMETIC: readonly string[] = ["+", "-", "*", "/"];
const COMPARISONS: readonly string[] = ["==", "!=", "<", "<=", ">", ">="];
const NEGATED: Readonly<Record<Comparison, string>> = {
  "==": "!=",
  "!=": "==",
  "<": ">=",
  "<=": ">",
  ">": "<=",
  ">=": "<",
};

export class Emitter {
  readonly rule_id: string;
  /** Column constants that the code needs: local name to path in the block. Shared by the rules of a set. */
  readonly columns: Map<string, string>;
  /** Pieces written so far. */
  pieces = 0;

  constructor(rule_id: string, columns: Map<string, string>) {
    this.rule_id = rule_id;
    this.columns = columns;
  }

  /** Code that is true when `n` is surely true (or, negated, surely false). */
  bool(n: ASTNode, negated: boolean): string {
    this.count(n);
    switch (n.op) {
      case "value":
        return String((n.args === true) !== negated);
      case "id":
        return `${negated ? "!" : ""}(${this.read(this.variable(n))})`;
      case "!_":
        return this.bool(n.args, !negated);
      case "&&":
      case "||": {
        const op = (n.op === "&&") !== negated ? "&&" : "||";
        return `(${this.bool(n.args[0], negated)} ${op} ${this.bool(n.args[1], negated)})`;
      }
      case "?:": {
        const [c, a, b] = n.args;
        const then = `${this.bool(c, false)} && ${this.bool(a, negated)}`;
        return `((${then}) || (${this.bool(c, true)} && ${this.bool(b, negated)}))`;
      }
      case "call":
        return this.hasValue(n, negated);
      case "in":
        return this.membership(n, n.args[0], n.args[1], negated);
      default:
        if (COMPARISONS.includes(n.op)) {
          const [left, right] = n.args as [ASTNode, ASTNode];
          return this.comparison(n, n.op as Comparison, left, right, negated);
        }
        throw this.unsupported(n);
    }
  }

  private comparison(n: ASTNode, op: Comparison, left: ASTNode, right: ASTNode, negated: boolean): string {
    const kind = this.kind(left);
    if (kind === "string") return this.nameComparison(n, op, left, right, negated);
    const wanted = negated ? NEGATED[op] : op;
    if (kind === "bool") {
      if (op !== "==" && op !== "!=") throw this.fail("unsupported", n, "bools have no order");
      const differ = wanted === "!=";
      const yes = `${this.bool(left, false)} && ${this.bool(right, differ)}`;
      return `((${yes}) || (${this.bool(left, true)} && ${this.bool(right, !differ)}))`;
    }
    const [a, b] = [this.number(left), this.number(right)];
    if (wanted === "==") return `(${a} === ${b})`;
    // NaN differs from everything, and must not here.
    if (wanted === "!=") return `(${a} < ${b} || ${a} > ${b})`;
    return `(${a} ${wanted} ${b})`;
  }

  /** A name column is compared with literals only: it holds codes. */
  private nameComparison(n: ASTNode, op: Comparison, left: ASTNode, right: ASTNode, negated: boolean): string {
    if (op !== "==" && op !== "!=") throw this.fail("unsupported", n, "texts have no order here; use == or in");
    const [id, literal] = left.op === "id" ? [left, right] : [right, left];
    return this.oneOf(n, id, [literal], negated !== (op === "!="));
  }

  private membership(n: ASTNode, left: ASTNode, list: ASTNode, negated: boolean): string {
    if (list.op !== "list") throw this.fail("unsupported", list, "write the list of `in` out, e.g. [1.0, 2.0]");
    const kind = this.kind(left);
    if (kind === "string") return this.oneOf(n, left, list.args, negated);
    if (kind === "bool") throw this.fail("unsupported", n, "`in` takes numbers and texts");
    if (list.args.length === 0) return negated ? `(${this.equal(left, left)})` : "false";
    const equals = list.args.map((x) => (negated ? this.different(left, x) : this.equal(left, x)));
    return `(${equals.join(negated ? " && " : " || ")})`;
  }

  private equal(left: ASTNode, right: ASTNode): string {
    return `${this.number(left)} === ${this.number(right)}`;
  }

  private different(left: ASTNode, right: ASTNode): string {
    const [a, b] = [this.number(left), this.number(right)];
    return `(${a} < ${b} || ${a} > ${b})`;
  }

  /** The name is one of the literals, or, negated, is present and none of them. */
  private oneOf(n: ASTNode, id: ASTNode, literals: readonly ASTNode[], negated: boolean): string {
    if (id.op !== "id") throw this.fail("unsupported", n, "a text is compared as variable == 'literal'");
    const v = this.variable(id);
    const read = this.read(v);
    const tests = literals.map((l) => {
      if (l.op !== "value" || typeof l.args !== "string") {
        throw this.fail("unsupported", l, `${v.name} can be compared with a text literal only`);
      }
      const code = v.code?.(l.args) ?? null;
      if (code === null) throw this.fail("type", l, `${v.name} never has this value (${v.text})`);
      this.count(l);
      return `${read} ${negated ? "!==" : "==="} ${code}`;
    });
    if (!negated) return tests.length === 0 ? "false" : `(${tests.join(" || ")})`;
    if (v.present !== null) tests.push(v.present);
    return tests.length === 0 ? "true" : `(${tests.join(" && ")})`;
  }

  private hasValue(n: ASTNode & { readonly op: "call" }, negated: boolean): string {
    this.onlyHasValue(n);
    const arg = n.args[1][0];
    if (arg.op !== "id") throw this.fail("unsupported", arg, "has_value takes a variable");
    const v = this.variable(arg);
    this.read(v);
    if (v.present === null) return String(!negated);
    return `${negated ? "!" : ""}(${v.present})`;
  }

  private onlyHasValue(n: ASTNode & { readonly op: "call" }): void {
    if (n.args[0] === "has_value") return;
    throw this.fail("unsupported", n, `no function ${n.args[0]} here; only has_value(variable)`);
  }

  /** Code of a number; NaN when it is missing. */
  private number(n: ASTNode): string {
    this.count(n);
    if (n.op === "value") return this.literal(n);
    if (n.op === "id") return this.read(this.variable(n));
    if (n.op === "-_") return `(-${this.number(n.args)})`;
    if (n.op === "?:") {
      const [c, a, b] = n.args;
      const otherwise = `(${this.bool(c, true)} ? ${this.number(b)} : NaN)`;
      return `(${this.bool(c, false)} ? ${this.number(a)} : ${otherwise})`;
    }
    if (ARITHMETIC.includes(n.op)) {
      if (this.kind(n) !== "double") {
        throw this.fail("unsupported", n, "no arithmetic on whole numbers or texts; write 5.0 for 5");
      }
      const [left, right] = n.args as [ASTNode, ASTNode];
      return `(${this.number(left)} ${n.op} ${this.number(right)})`;
    }
    throw this.unsupported(n);
  }

  private literal(n: ASTNode): string {
    const v = n.args;
    if (typeof v === "number" && Number.isFinite(v)) return String(v);
    if (typeof v === "bigint" && Number.isSafeInteger(Number(v))) return String(Number(v));
    throw this.fail("unsupported", n, "write a number as 5 or 5.0, at most 2^53");
  }

  /** The type of a checked tree, as far as columns need it. */
  private kind(n: ASTNode): Kind {
    switch (n.op) {
      case "value": {
        const of = { bigint: "int", number: "double", string: "string", boolean: "bool" } as const;
        const k = of[typeof n.args as keyof typeof of];
        if (k === undefined) throw this.unsupported(n);
        return k;
      }
      case "id":
        return this.variable(n).type;
      case "-_":
        return this.kind(n.args);
      case "?:":
        return this.kind(n.args[1]);
      case "+":
      case "-":
      case "*":
      case "/":
        return this.kind(n.args[0]);
      case "call":
        this.onlyHasValue(n);
        return "bool";
      case "list":
      case "map":
      case "rcall":
      case ".":
      case ".?":
      case "[]":
      case "[?]":
      case "%":
        throw this.unsupported(n);
      default:
        return "bool";
    }
  }

  private variable(n: ASTNode): Variable {
    const v = typeof n.args === "string" ? VARIABLES.get(n.args) : undefined;
    if (v === undefined) throw this.fail("unknown_variable", n, `Unknown variable: ${String(n.args)}`);
    return v;
  }

  private read(v: Variable): string {
    for (const [local, path] of Object.entries(v.columns)) this.columns.set(local, path);
    return v.read;
  }

  private count(n: ASTNode): void {
    if (++this.pieces > PIECES_MAX) {
      throw this.fail("limit", n, `the compiled rule would have more than ${PIECES_MAX} pieces; nest fewer conditions`);
    }
  }

  private unsupported(n: ASTNode): RuleError {
    if (n.op === "rcall") return this.fail("unsupported", n, `no method ${n.args[0]} here`);
    return this.fail("unsupported", n, `'${n.op}' has no form over columns`);
  }

  private fail(code: RuleError["code"], n: ASTNode, detail: string): RuleError {
    return new RuleError(code, this.rule_id, detail, { start: n.range.start, end: n.range.end });
  }
}
