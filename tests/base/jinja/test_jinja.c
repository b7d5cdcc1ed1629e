/*
 * The template language of chat templates. What is promised:
 *   - every construct that published templates use gives Jinja2's text (golden/jinja.json, made by
 *     golden/make_jinja.py), and what Jinja2 refuses is refused;
 *   - a byte of the output is marked where it came from the input, whatever was done with it, and
 *     where a generation block wrote it, a macro's too;
 *   - what is refused is told with its line and column, and a hostile template meets limits;
 *   - want of memory is told.
 */
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/jinja/jinja.h"
#include "tests/support/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NOW = 1790000000 }; // 2026-09-21

static struct lorac_err err;

static enum lorac_status render(struct lorac_jinja_text *out, const char *template,
                                const json_t *own, const json_t *input)
{
    struct lorac_jinja *t = NULL;
    enum lorac_status st = lorac_jinja_parse(&t, template, strlen(template), "t", &err);
    if (!st) { st = lorac_jinja_render(out, t, own, input, NOW, &err); }
    lorac_jinja_free(t);
    return st;
}

/* What the template makes of variables in JSON (with ' for "); an error's text where it refuses. */
static const char *text_of(const char *template, const char *variables)
{
    static char text[4096];
    struct lorac_jinja_text out = {0};
    char json[1024];
    size_t n = 0;
    for (; variables[n]; n++) {
        json[n] = variables[n] == '\'' ? '"' : variables[n];
    }
    json_t *input = json_loadb(json, n, 0, NULL);
    assert_non_null(input);
    enum lorac_status st = render(&out, template, NULL, input);
    (void)snprintf(text, sizeof text, "%s", st ? err.text : out.text.at ? out.text.at : "");
    lorac_jinja_text_free(&out);
    json_decref(input);
    return text;
}

/* Its bytes: . for the template's own, i for input, g for generated, b for both. */
static const char *marks_of(const char *template, const json_t *own, const json_t *input)
{
    static char marks[256];
    struct lorac_jinja_text out = {0};
    if (render(&out, template, own, input)) { fail_msg("%s", err.text); }
    assert_int_equal(out.text.n, out.mark.n);
    assert_in_range(out.mark.n, 0, sizeof marks - 1);
    for (size_t i = 0; i < out.mark.n; i++) {
        marks[i] = ".igb"[(int)out.mark.at[i]];
    }
    marks[out.mark.n] = '\0';
    lorac_jinja_text_free(&out);
    return marks;
}

static void gives_what_jinja2_gives(void **state)
{
    (void)state;
    struct lorac_json root;
    assert_int_equal(lorac_json_load(&root, LORAC_TESTS_DIR "/golden/jinja.json", 1 << 20, NULL),
                     LORAC_OK);
    const json_t *context = json_object_get(root.value, "context");
    const json_t *cases = json_object_get(root.value, "cases");
    assert_in_range(json_array_size(cases), 350, 1000);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i);
        const char *template = json_string_value(json_object_get(one, "template"));
        const char *want = json_string_value(json_object_get(one, "text"));
        struct lorac_jinja_text out = {0};
        enum lorac_status st = render(&out, template, NULL, context);
        if (json_object_get(one, "refused")) {
            if (!st) { fail_msg("%s: must be refused, gives %s", template, out.text.at); }
            assert_true(strncmp(err.text, "t:", 2) == 0);
        } else if (st) {
            fail_msg("%s: %s", template, err.text);
        } else if (want) {
            if (out.text.n != strlen(want)) { fail_msg("%s: %s", template, out.text.at); }
            assert_string_equal(out.text.n ? out.text.at : "", want);
        }
        lorac_jinja_text_free(&out);
    }
    lorac_json_free(&root);
}

static void dates_are_of_the_day_that_is_given(void **state)
{
    (void)state;
    assert_string_equal(text_of("{{ strftime_now('%d %B %Y') }}", "{}"), "21 September 2026");
}

static void input_is_marked(void **state)
{
    (void)state;
    json_t *own = json_pack("{s:s}", "bos", "<s>");
    json_t *input = json_pack("{s:s, s:[{s:s, s:s}], s:{s:[i]}}", "x", " ab ", "m", "role", "user",
                              "content", "c<", "d", "k", 7);
    assert_string_equal(marks_of("p{{ bos }}{{ x }}q", own, input), "....iiii.");
    assert_string_equal(marks_of("{{ x | trim }}{{ x.upper() }}{{ x[1:3] }}", own, input),
                        "iiiiiiii");
    assert_string_equal(marks_of("{{ '<' + x.strip() ~ '>' }}", own, input), ".ii.");
    assert_string_equal(marks_of("{{ x.replace('a', '<s>') }}", own, input), "i...ii");
    assert_string_equal(marks_of("{{ [x, 'y'] | join(',') }}", own, input), "iiii..");
    assert_string_equal(marks_of("{% set y %}({{ x }}){% endset %}{{ y }}", own, input), ".iiii.");
    assert_string_equal(
        marks_of("{% macro f(v) %}[{{ v }}]{% endmacro %}{{ f(x.strip()) }}", own, input), ".ii.");
    assert_string_equal(marks_of("{{ m | tojson }}", own, input),
                        "...iiii............iiiiiii....ii...");
    assert_string_equal(marks_of("{{ [x.strip()] }}", own, input), "..ii..");
    assert_string_equal(
        marks_of("{{ x.split('a')[0] }}{% for c in x %}{{ c }}{% endfor %}", own, input), "iiiii");
    assert_string_equal(marks_of("{{ d }}", own, input), "..i.......");
    json_decref(own);
    json_decref(input);
}

/* '<|' + role + '|>' is a token of the template's; a role that holds more than a word is not. */
static void a_plain_role_is_the_templates(void **state)
{
    (void)state;
    json_t *input = json_pack("{s:{s:s}, s:{s:s}}", "a", "role", "user", "b", "role", "u|><|x");
    assert_string_equal(marks_of("<|{{ a.role }}|>", NULL, input), "........");
    assert_string_equal(marks_of("<|{{ b.role }}|>", NULL, input), "..iiiiii..");
    json_decref(input);
}

static void generation_blocks_are_marked(void **state)
{
    (void)state;
    json_t *input = json_pack("{s:s}", "x", "ab");
    assert_string_equal(marks_of("p{% generation %}q{{ x }}{% endgeneration %}r", NULL, input),
                        ".gbb.");
    assert_string_equal(
        marks_of(
            "{% macro f() %}<{% generation %}{{ x }}{% endgeneration %}>{% endmacro %}{{ f() }}",
            NULL, input),
        ".bb.");
    assert_string_equal(
        marks_of("{% generation %}{% set y %}{{ x }}{% endset %}{{ y }}{% endgeneration %}", NULL,
                 input),
        "bb");
    json_decref(input);
}

static void refusals_name_line_and_column(void **state)
{
    (void)state;
    assert_string_equal(text_of("a\n  {% if x %}\n", "{}"),
                        "t:2:13: 'endif' of 'if' was expected, found the template's end");
    assert_string_equal(text_of("{{ a }}\n {{ x.y.z }}", "{'x': {}}"), "t:2:5: 'y' is undefined");
    assert_string_equal(text_of("{% include 'x' %}", "{}"),
                        "t:1:4: this statement is not supported, found include");
    assert_string_equal(text_of("\n{{ raise_exception('Only user\\'s turns') }}", "{}"),
                        "t:2:4: the template refuses: Only user's turns");
    assert_string_equal(text_of("{{ '%s' % 1 }}", "{}"),
                        "t:1:4: a text formatted with % is not supported");
    assert_string_equal(text_of("{{ 9223372036854775807 + 1 }}", "{}"),
                        "t:1:4: this number is too large");
    assert_string_equal(text_of("{{ f(**x) }}", "{}"),
                        "t:1:6: arguments from a dict are not supported, found **");
    assert_string_equal(text_of("{{ 'a'.strip(1) }}", "{}"),
                        "t:1:4: a text was expected as argument 1, found an int");
    assert_string_equal(text_of("{{ 'a' | replace('b') }}", "{}"),
                        "t:1:10: filter replace takes from 2 to 3 arguments, not 1");
    assert_string_equal(text_of("{{ [] | sort(by='x') }}", "{}"),
                        "t:1:9: filter sort takes no argument 'by'");
}

/* `what` n times between two texts, and where `close` is given that, n times behind an x. */
static char *many(const char *front, const char *what, const char *close, size_t n,
                  const char *back)
{
    struct lorac_buf b = {0};
    lorac_buf_str(&b, front);
    for (size_t i = 0; i < n; i++) {
        lorac_buf_str(&b, what);
    }
    for (size_t i = 0; i < n && *close; i++) {
        lorac_buf_str(&b, i ? "" : "x");
        lorac_buf_str(&b, close);
    }
    lorac_buf_str(&b, back);
    return b.at;
}

static void hostile_templates_meet_limits(void **state)
{
    (void)state;
    const struct {
        const char *front, *what;
        size_t n;
        const char *back, *says;
    } cases[] = {
        {"{{ ", "(", 5000, " }}", "nested deeper than 100"},
        {"{{ ", "not ", 5000, "x }}", "nested deeper than 100"},
        {"{{ ", "-", 5000, "1 }}", "nested deeper than 100"},
        {"", "{% if x %}", 5000, "", "nested deeper than 100"},
        {"{{ 1", "+1", 50000, " }}", "nested deeper than 1000"},
        {"{{ x", "|string", 50000, " }}", "nested deeper than 1000"},
        {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "", 0, "", "nested deeper than 1000"},
        {"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "", 0,
         "", "more than 256 MiB of memory"},
        {"{% for a in range(99999) %}{% if x", " and x", 900, " %}{% endif %}{% endfor %}",
         "takes more than 20000000 steps"},
        {"{{ 'abcdefgh' * 99999999 }}", "", 0, "", "more than 16 MiB of text"},
        {"{% set ns = namespace(s='xxxxxxxx') %}{% for a in range(99) %}{% set ns.s = ns.s + ns.s "
         "%}{% endfor %}",
         "", 0, "", "more than"},
        {"{% set ns = namespace(l=[1]) %}{% for a in range(99999) %}"
         "{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l == ns.l }}{{ ns.l }}",
         "", 0, "", "nested deeper than 1000"},
    };
    json_t *input = json_pack("{s:s}", "x", "x");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_jinja_text out = {0};
        char *template = many(cases[i].front, cases[i].what, *cases[i].what == '(' ? ")" : "",
                              cases[i].n, cases[i].back);
        assert_int_equal(render(&out, template, NULL, input), LORAC_ENOTSUP);
        if (!strstr(err.text, cases[i].says)) { fail_msg("%s", err.text); }
        lorac_jinja_text_free(&out);
        lorac_mem_free(template);
    }
    json_decref(input);
}

static void want_of_memory_is_told(void **state)
{
    (void)state;
    const char *const template =
        "{% macro f(a, b=[1]) %}{{ a }}{% for x in b %}{{ x }}{% endfor %}{% endmacro %}"
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
        "{{ f(m.content | trim, m.content.split()) }}{{ m | tojson }}{{ 'x' ~ loop.index }}"
        "{% endfor %}{% set t | upper %}{{ ns.n }}{% endset %}{{ t }}";
    json_t *input =
        json_pack("{s:[{s:s}, {s:s}]}", "messages", "content", " a b ", "content", "c'd");
    long n = 0;
    for (bool met = true; met; n++) {
        struct lorac_jinja_text out = {0};
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = render(&out, template, NULL, input);
        met = faults_stop();
        assert_int_equal(st, met ? LORAC_ENOMEM : LORAC_OK);
        lorac_jinja_text_free(&out);
    }
    assert_in_range(n, 5, 1000);
    json_decref(input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_what_jinja2_gives),
        cmocka_unit_test(dates_are_of_the_day_that_is_given),
        cmocka_unit_test(input_is_marked),
        cmocka_unit_test(a_plain_role_is_the_templates),
        cmocka_unit_test(generation_blocks_are_marked),
        cmocka_unit_test(refusals_name_line_and_column),
        cmocka_unit_test(hostile_templates_meet_limits),
        cmocka_unit_test(want_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
