/* operate.c - arithmetic on values, as Python's; see impl.h. */
#include "base/jinja/impl.h"

#include <math.h>

struct lorac_jvalue lorac_jinja_undefined(struct lorac_jrun *r, struct lorac_jvalue v)
{
    return lorac_jinja_fail(r, LORAC_EUSER, "'%.*s' is undefined", (int)v.s.n, v.s.at);
}

static struct lorac_jvalue fail_operands(struct lorac_jrun *r, const char *op,
                                         struct lorac_jvalue a, struct lorac_jvalue b)
{
    if (a.kind == J_UNDEFINED) { return lorac_jinja_undefined(r, a); }
    if (b.kind == J_UNDEFINED) { return lorac_jinja_undefined(r, b); }
    return lorac_jinja_fail(r, LORAC_EUSER, "%s of %s and %s", op, lorac_jkind_name(a),
                            lorac_jkind_name(b));
}

static bool is_number(struct lorac_jvalue v)
{
    return v.kind == J_BOOL || v.kind == J_INT || v.kind == J_FLOAT;
}

static int64_t whole_of(struct lorac_jvalue v)
{
    return v.kind == J_BOOL ? v.b : v.i;
}

static double real_of(struct lorac_jvalue v)
{
    return v.kind == J_FLOAT ? v.f : (double)whole_of(v);
}

/* Rounded down, as Python's // and %. */
static struct lorac_jvalue divide_whole(struct lorac_jrun *r, int64_t a, int64_t b, bool rest)
{
    if (b == 0) { return lorac_jinja_fail(r, LORAC_EUSER, "a division by zero"); }
    if (b == -1) { // INT64_MIN has no negative
        if (rest) { return lorac_jint(0); }
        if (a == INT64_MIN) {
            return lorac_jinja_fail(r, LORAC_ENOTSUP, "this number is too large");
        }
        return lorac_jint(-a);
    }
    int64_t q = a / b;
    int64_t m = a % b;
    if (m != 0 && (m < 0) != (b < 0)) {
        q--;
        m += b;
    }
    return lorac_jint(rest ? m : q);
}

static struct lorac_jvalue power(struct lorac_jrun *r, struct lorac_jvalue a, struct lorac_jvalue b)
{
    if (a.kind == J_FLOAT || b.kind == J_FLOAT || whole_of(b) < 0) {
        return lorac_jfloat(pow(real_of(a), real_of(b)));
    }
    int64_t base = whole_of(a);
    int64_t out = 1;
    bool large = false;
    for (int64_t e = whole_of(b); e > 0 && !large; e--) {
        if (base == 0 || base == 1) { return lorac_jint(base); }
        if (base == -1) { return lorac_jint(e % 2 ? -out : out); }
        large = __builtin_mul_overflow(out, base, &out);
    }
    return large ? lorac_jinja_fail(r, LORAC_ENOTSUP, "this number is too large") : lorac_jint(out);
}

static struct lorac_jvalue calculate_real(struct lorac_jrun *r, enum lorac_jop op, double a,
                                          double b)
{
    if (b == 0.0 && (op == N_DIV || op == N_FLOORDIV || op == N_MOD)) {
        return lorac_jinja_fail(r, LORAC_EUSER, "a division by zero");
    }
    double m = 0.0;
    switch ((int)op) {
    case N_ADD:
        return lorac_jfloat(a + b);
    case N_SUB:
        return lorac_jfloat(a - b);
    case N_MUL:
        return lorac_jfloat(a * b);
    case N_DIV:
        return lorac_jfloat(a / b);
    case N_FLOORDIV:
        return lorac_jfloat(floor(a / b));
    default:
        m = fmod(a, b);
        return lorac_jfloat(m != 0.0 && (m < 0.0) != (b < 0.0) ? m + b : m);
    }
}

static struct lorac_jvalue calculate(struct lorac_jrun *r, enum lorac_jop op, struct lorac_jvalue a,
                                     struct lorac_jvalue b)
{
    if (op == N_POW) { return power(r, a, b); }
    if (op == N_DIV || a.kind == J_FLOAT || b.kind == J_FLOAT) {
        return calculate_real(r, op, real_of(a), real_of(b));
    }
    int64_t x = whole_of(a);
    int64_t y = whole_of(b);
    int64_t out = 0;
    bool large = false;
    switch ((int)op) {
    case N_ADD:
        large = __builtin_add_overflow(x, y, &out);
        break;
    case N_SUB:
        large = __builtin_sub_overflow(x, y, &out);
        break;
    case N_MUL:
        large = __builtin_mul_overflow(x, y, &out);
        break;
    default:
        return divide_whole(r, x, y, op == N_MOD);
    }
    return large ? lorac_jinja_fail(r, LORAC_ENOTSUP, "this number is too large") : lorac_jint(out);
}

static struct lorac_jvalue join_lists(struct lorac_jrun *r, struct lorac_jvalue a,
                                      struct lorac_jvalue b)
{
    struct lorac_jvalue out = lorac_jlist(r, a.list->form);
    for (size_t i = 0; i < a.list->n && !r->st; i++) {
        lorac_jlist_add(r, out, a.list->at[i]);
    }
    for (size_t i = 0; i < b.list->n && !r->st; i++) {
        lorac_jlist_add(r, out, b.list->at[i]);
    }
    return out;
}

static struct lorac_jvalue join_texts(struct lorac_jrun *r, struct lorac_jstr a,
                                      struct lorac_jstr b)
{
    struct lorac_jtext t = {0};
    lorac_jtext_add(r, &t, a);
    lorac_jtext_add(r, &t, b);
    return lorac_jtext_value(&t);
}

static struct lorac_jvalue repeat(struct lorac_jrun *r, struct lorac_jvalue what, int64_t times)
{
    struct lorac_jtext t = {0};
    struct lorac_jvalue list =
        what.kind == J_LIST ? lorac_jlist(r, what.list->form) : lorac_jstring(lorac_jstr(""));
    bool any = what.kind == J_LIST ? what.list->n > 0 : what.s.n > 0;
    for (int64_t k = 0; k < times && any && !r->st; k++) {
        if (what.kind == J_STRING) {
            lorac_jtext_add(r, &t, what.s);
        } else {
            for (size_t i = 0; i < what.list->n && !r->st; i++) {
                lorac_jlist_add(r, list, what.list->at[i]);
            }
        }
    }
    return what.kind == J_STRING ? lorac_jtext_value(&t) : list;
}

struct lorac_jvalue lorac_jinja_operate(struct lorac_jrun *r, enum lorac_jop op,
                                        struct lorac_jvalue a, struct lorac_jvalue b)
{
    static const char *const names[] = {
        [N_ADD] = "a sum",      [N_SUB] = "a difference",    [N_MUL] = "a product",
        [N_DIV] = "a quotient", [N_FLOORDIV] = "a quotient", [N_MOD] = "a remainder",
        [N_POW] = "a power"};
    if (is_number(a) && is_number(b)) { return calculate(r, op, a, b); }
    bool lists = a.kind == J_LIST && b.kind == J_LIST && a.list->form == b.list->form &&
                 a.list->form <= JF_TUPLE;
    if (op == N_ADD && lists) { return join_lists(r, a, b); }
    if (op == N_ADD && a.kind == J_STRING && b.kind == J_STRING) { return join_texts(r, a.s, b.s); }
    bool a_repeats = a.kind == J_STRING || (a.kind == J_LIST && a.list->form <= JF_TUPLE);
    bool b_repeats = b.kind == J_STRING || (b.kind == J_LIST && b.list->form <= JF_TUPLE);
    bool whole_a = a.kind == J_INT || a.kind == J_BOOL;
    bool whole_b = b.kind == J_INT || b.kind == J_BOOL;
    if (op == N_MUL && a_repeats && whole_b) { return repeat(r, a, whole_of(b)); }
    if (op == N_MUL && b_repeats && whole_a) { return repeat(r, b, whole_of(a)); }
    if (op == N_MOD && a.kind == J_STRING) {
        return lorac_jinja_fail(r, LORAC_ENOTSUP, "a text formatted with %% is not supported");
    }
    return fail_operands(r, names[op], a, b);
}
