/* tests.c - what can stand behind `is`; see impl.h. Source: jinja2/tests.py. */
#include "base/jinja/impl.h"
#include "base/jinja/words.h"

/* A test of the value alone. */
#define TEST(name, ...) JFN_IS(is_##name, lorac_jbool(__VA_ARGS__))
TEST(defined, v.kind != J_UNDEFINED)
TEST(undefined, v.kind == J_UNDEFINED)
TEST(none, v.kind == J_NONE)
TEST(true, v.kind == J_BOOL && v.b)
TEST(false, v.kind == J_BOOL && !v.b)
TEST(boolean, v.kind == J_BOOL)
TEST(integer, v.kind == J_INT)
TEST(float, v.kind == J_FLOAT)
TEST(number, v.kind == J_INT || v.kind == J_FLOAT || v.kind == J_BOOL)
TEST(string, v.kind == J_STRING)
TEST(mapping, v.kind == J_DICT)
TEST(callable, v.kind == J_MACRO || v.kind == J_FUNCTION)
TEST(iterable, v.kind == J_LIST || v.kind == J_DICT || v.kind == J_STRING || v.kind == J_UNDEFINED)
/* What has a length and items by number or key. */
TEST(sequence, (v.kind == J_LIST && v.list->form != JF_GENERATOR && v.list->form != JF_VIEW) ||
                   v.kind == J_DICT || v.kind == J_STRING || v.kind == J_UNDEFINED)

JFN(is_upper)
{
    struct lorac_jstr s = lorac_jprint(r, v);
    bool none_lower = lorac_jstr_same(lorac_jword_case(r, s, JW_UPPER).s, s);
    return lorac_jbool(none_lower && !lorac_jstr_same(lorac_jword_case(r, s, JW_LOWER).s, s));
}

JFN(is_lower)
{
    struct lorac_jstr s = lorac_jprint(r, v);
    bool none_upper = lorac_jstr_same(lorac_jword_case(r, s, JW_LOWER).s, s);
    return lorac_jbool(none_upper && !lorac_jstr_same(lorac_jword_case(r, s, JW_UPPER).s, s));
}

/* v mod n, for whole numbers. */
static bool rest_is(struct lorac_jrun *r, struct lorac_jvalue v, int64_t n, int64_t rest)
{
    if (v.kind == J_INT && n != 0 && n != -1) {
        int64_t m = v.i % n;
        return (m && (m < 0) != (n < 0) ? m + n : m) == rest;
    }
    if (v.kind == J_INT && n == -1) { return rest == 0; }
    (void)lorac_jinja_fail(r, LORAC_EUSER, "%s divided by a whole number %s", lorac_jkind_name(v),
                           n ? "" : "that is 0");
    return false;
}

TEST(odd, rest_is(r, v, 2, 1))
TEST(even, rest_is(r, v, 2, 0))
TEST(divisible, rest_is(r, v, args->at[0].kind == J_INT ? args->at[0].i : 0, 0))
TEST(same, lorac_jsame(r, v, args->at[0]))
TEST(other, !lorac_jsame(r, v, args->at[0]))
TEST(less, lorac_jorder(r, v, args->at[0]) < 0)
TEST(at_most, lorac_jorder(r, v, args->at[0]) <= 0)
TEST(more, lorac_jorder(r, v, args->at[0]) > 0)
TEST(at_least, lorac_jorder(r, v, args->at[0]) >= 0)
TEST(in, lorac_jin(r, v, args->at[0]))

const struct lorac_jrow lorac_jinja_tests[] = {
    {"!=", is_other, "value", 1},
    {"<", is_less, "value", 1},
    {"<=", is_at_most, "value", 1},
    {"==", is_same, "value", 1},
    {">", is_more, "value", 1},
    {">=", is_at_least, "value", 1},
    {"boolean", is_boolean, "", 0},
    {"callable", is_callable, "", 0},
    {"defined", is_defined, "", 0},
    {"divisibleby", is_divisible, "num", 1},
    {"eq", is_same, "value", 1},
    {"equalto", is_same, "value", 1},
    {"even", is_even, "", 0},
    {"false", is_false, "", 0},
    {"float", is_float, "", 0},
    {"ge", is_at_least, "value", 1},
    {"greaterthan", is_more, "value", 1},
    {"gt", is_more, "value", 1},
    {"in", is_in, "seq", 1},
    {"integer", is_integer, "", 0},
    {"iterable", is_iterable, "", 0},
    {"le", is_at_most, "value", 1},
    {"lessthan", is_less, "value", 1},
    {"lower", is_lower, "", 0},
    {"lt", is_less, "value", 1},
    {"mapping", is_mapping, "", 0},
    {"ne", is_other, "value", 1},
    {"none", is_none, "", 0},
    {"number", is_number, "", 0},
    {"odd", is_odd, "", 0},
    {"sequence", is_sequence, "", 0},
    {"string", is_string, "", 0},
    {"true", is_true, "", 0},
    {"undefined", is_undefined, "", 0},
    {"upper", is_upper, "", 0},
    {0},
};
