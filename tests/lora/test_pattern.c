/*
 * Patterns of module names. What is promised: a pattern fits what Python's re fits, as a whole or
 * as the end of a name; what is no pattern, is too long or too deep is refused with the character;
 * one that takes for ever is stopped.
 */
#include "lora/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FULL LORAC_PATTERN_FULL
#define TAIL LORAC_PATTERN_TAIL

static void names_fit_as_python_has_it(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum lorac_pattern_kind kind;
        const char *name;
        bool fits;
    } cases[] = {
        {"q_proj", FULL, "q_proj", true},
        {"q_proj", FULL, "q_projx", false},
        {"q_proj", FULL, "a.q_proj", false},
        {"q|q_proj", FULL, "q_proj", true}, // not only its beginning
        {".*\\.q_proj", FULL, "a.b.q_proj", true},
        {"layers\\.[0-3]\\..*", FULL, "layers.3.x", true},
        {"layers\\.[0-3]\\..*", FULL, "layers.4.x", false},
        {"", FULL, "", true},
        {"", FULL, "x", false},
        {"q_proj", TAIL, "q_proj", true},
        {"q_proj", TAIL, "a.q_proj", true},
        {"q_proj", TAIL, "aq_proj", false},
        {"q_proj", TAIL, "q_proj.a", false},
        {"q|k", TAIL, "a.k", true},
        {"a.q", TAIL, "b.aXq", true}, // a dot is any character, in PEFT's keys, too
        {"^q", TAIL, "a.q", false},
        {"^a\\.q", TAIL, "a.q", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_pattern *p = NULL;
        struct lorac_err err = {0};
        bool fits = !cases[i].fits;
        if (lorac_pattern_new(&p, cases[i].text, cases[i].kind, &err) ||
            lorac_pattern_fits(&fits, p, cases[i].name, &err)) {
            fail_msg("%s", err.text);
        }
        if (fits != cases[i].fits) { fail_msg("'%s' on '%s'", cases[i].text, cases[i].name); }
        lorac_pattern_free(p);
    }
    lorac_pattern_free(NULL);
}

static void expect_refused(const char *text, enum lorac_pattern_kind kind, const char *want)
{
    struct lorac_pattern *p = NULL;
    struct lorac_err err = {0};
    assert_int_equal(lorac_pattern_new(&p, text, kind, &err), LORAC_EUSER);
    assert_null(p);
    assert_string_equal(err.text, want);
}

static void what_is_no_pattern_says_where(void **state)
{
    (void)state;
    for (enum lorac_pattern_kind kind = FULL; kind <= TAIL; kind++) { // counted in the text itself
        expect_refused("ab(c", FULL,
                       "'ab(c' is no regular expression that is understood: missing closing "
                       "parenthesis at character 4");
        expect_refused(
            "ab[", kind,
            "'ab[' is no regular expression that is understood: missing terminating ] for "
            "character class at character 3");
        expect_refused("*ab", FULL,
                       "'*ab' is no regular expression that is understood: quantifier does not "
                       "follow a repeatable item at character 0");
        expect_refused("a{,3}", kind,
                       "the pattern 'a{,3}': '{,' has no fixed meaning: write {0,n}");
        expect_refused("[[:alpha:]]", kind,
                       "the pattern '[[:alpha:]]': '[[:' has no fixed meaning: write the "
                       "characters out");
    }
}

static void limits_are_exact(void **state)
{
    (void)state;
    static char text[16386];
    struct lorac_pattern *p = NULL;
    struct lorac_err err = {0};
    memset(text, 'x', 16384);
    assert_int_equal(lorac_pattern_new(&p, text, FULL, &err), LORAC_OK);
    lorac_pattern_free(p);
    text[16384] = 'x';
    assert_int_equal(lorac_pattern_new(&p, text, FULL, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, ": is too long"));
    for (int depth = 50; depth < 52; depth++) {
        (void)snprintf(text, sizeof text, "%.*sa%.*s", depth,
                       "((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((", depth,
                       "))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))");
        assert_int_equal(lorac_pattern_new(&p, text, FULL, &err),
                         depth == 50 ? LORAC_OK : LORAC_EUSER);
        lorac_pattern_free(p);
    }
    assert_non_null(strstr(err.text, "parentheses are too deeply nested"));
}

static void a_pattern_that_takes_for_ever_is_stopped(void **state)
{
    (void)state;
    struct lorac_pattern *p = NULL;
    struct lorac_err err = {0};
    bool fits = false;
    assert_int_equal(lorac_pattern_new(&p, "(a|aa)*(a|aa)*[bc]", FULL, &err), LORAC_OK);
    assert_int_equal(lorac_pattern_fits(&fits, p, "aaaaaaaab", &err), LORAC_OK);
    assert_true(fits);
    assert_int_equal(lorac_pattern_fits(
                         &fits, p, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &err),
                     LORAC_EUSER);
    assert_string_equal(err.text,
                        "the pattern '(a|aa)*(a|aa)*[bc]' takes too many steps on "
                        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa': simplify it");
    lorac_pattern_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_fit_as_python_has_it),
        cmocka_unit_test(what_is_no_pattern_says_where),
        cmocka_unit_test(limits_are_exact),
        cmocka_unit_test(a_pattern_that_takes_for_ever_is_stopped),
    };
    return cmocka_run_group_tests_name("pattern", tests, NULL, NULL);
}
