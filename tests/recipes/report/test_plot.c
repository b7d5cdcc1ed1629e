/*
 * Pictures of a page. What is promised:
 *   - ticks are 1, 2 or 5 times a power of ten apart and lie on the axis; their texts tell them
 *     apart;
 *   - an axis shows all that was added, one value, too, and nothing at all;
 *   - grid, curve, points, marks, bars and names are these very bytes;
 *   - a curve of many points keeps the extremes of each of its columns, and stays small; what is
 *     not finite is a gap, and a value alone a dot;
 *   - names behind curves do not touch;
 *   - whatever text comes in, no markup, control character or mark of writing direction comes out.
 */
#include "recipes/report/plot.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void shows_ticks(double from, double to, bool is_log, bool whole, const char *want)
{
    double at[LORAC_PLOT_TICKS];
    char got[400] = "";
    char text[32];
    const struct lorac_axis a = {from, to, is_log, whole};
    size_t n = lorac_axis_ticks(at, &a);
    for (size_t i = 0; i < n; i++) {
        double step = is_log ? at[i] : n > 1 ? at[1] - at[0] : 1.0;
        (void)snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? " " : "",
                       lorac_plot_number(text, at[i], step));
    }
    assert_string_equal(got, want);
}

static void ticks_are_round_and_told_apart(void **state)
{
    (void)state;
    shows_ticks(0.0, 1031.0, false, true, "0 500 1,000");
    shows_ticks(0.0, 3.0, false, true, "0 1 2 3");
    shows_ticks(0.0, 1.0, false, false, "0 0.2 0.4 0.6 0.8 1.0");
    shows_ticks(0.75, 0.9, false, false, "0.75 0.80 0.85 0.90");
    shows_ticks(0.0, 1e-3, false, false, "0 2e-4 4e-4 6e-4 8e-4 1e-3");
    shows_ticks(0.0, 1e-5, false, false, "0 2e-6 4e-6 6e-6 8e-6 1e-5");
    shows_ticks(-2.0, 2.0, false, false, "-2 -1 0 1 2");
    shows_ticks(0.0, 2.5e6, false, false, "0 500,000 1,000,000 1,500,000 2,000,000 2,500,000");
    shows_ticks(0.002, 9.0, true, false, "0.01 0.1 1");
    shows_ticks(0.5, 30.0, true, false, "0.5 1 2 5 10 20");
}

static void an_axis_shows_what_was_added(void **state)
{
    (void)state;
    struct lorac_axis a = lorac_axis_empty();
    lorac_axis_add(&a, 3.3);
    lorac_axis_add(&a, (double)NAN);
    lorac_axis_add(&a, (double)INFINITY);
    lorac_axis_add(&a, 7.9);
    lorac_axis_round(&a);
    assert_true(a.from <= 3.3 && a.from > 2.9 && a.to >= 7.9 && a.to < 8.1);
    a = lorac_axis_empty(); // nothing
    lorac_axis_round(&a);
    assert_true(a.from < a.to);
    static const double one[] = {0.0, 0.5, -4.0, 1e-12};
    for (size_t i = 0; i < 4; i++) {
        a = lorac_axis_empty();
        lorac_axis_add(&a, one[i]);
        lorac_axis_round(&a);
        assert_true(a.from < one[i] && one[i] < a.to);
        a = (struct lorac_axis){fabs(one[i]) + 1e-9, fabs(one[i]) + 1e-9, true, false};
        lorac_axis_round(&a);
        assert_true(a.from < a.to);
    }
}

static void same(struct lorac_buf *b, const char *want)
{
    assert_false(b->no_memory);
    assert_string_equal(b->at, want);
    lorac_buf_clear(b);
}

static void pictures_are_these_bytes(void **state)
{
    (void)state;
    struct lorac_buf b = {0};
    struct lorac_plot p = {&b, {0.0, 10.0, false, true}, {0.0, 1.0, false, false}, 100, 1, 2, 3, 0,
                           0};
    static const double x[] = {0.0, 5.0, 10.0};
    static const double y[] = {1.0, 0.25, 0.0};
    const struct lorac_curve c = {x, y, 3};
    lorac_plot_begin(&p, "a & b");
    same(&b, "<div class=\"plot\" style=\"padding:1px 2px 3px 31px\"><svg width=\"100%\" "
             "height=\"100\" role=\"img\" aria-label=\"a &amp; b\">\n");
    lorac_plot_line(&p, &c, "s1");
    same(&b, "<svg width=\"100%\" height=\"100\" viewBox=\"0 0 1000 100\" "
             "preserveAspectRatio=\"none\"><path class=\"line s1\" d=\"M0 0L500 75L1000 100\"/>"
             "</svg>\n");
    const struct lorac_curve one = {x + 1, y + 1, 1};
    lorac_plot_points(&p, &one, "s2", "step");
    same(&b, "<circle class=\"dot s2\" cx=\"50%\" cy=\"75\" r=\"3\"><title>step 5: 0.25</title>"
             "</circle>\n");
    lorac_plot_interval(&p, 5.0, 0.2, 0.3, "s2");
    same(&b, "<line class=\"whisker s2\" x1=\"50%\" x2=\"50%\" y1=\"80\" y2=\"70\"/>\n");
    lorac_plot_mark_x(&p, 10.0, "best");
    same(&b, "<line class=\"mark\" x1=\"100%\" x2=\"100%\" y2=\"100\"/>"
             "<text class=\"note end\" x=\"100%\" y=\"-6\">best</text>\n");
    lorac_plot_rect(&p, 0.1, 0.25, 3.0, 4.5, "bar", 0.5, "a<b");
    same(&b, "<rect class=\"bar\" x=\"10%\" width=\"25%\" y=\"3\" height=\"4.5\" "
             "fill-opacity=\"0.50\"><title>a&lt;b</title></rect>\n");
    lorac_plot_text(&p, 1.0, 8.0, 9.0, false, "label", "x");
    same(&b, "<text class=\"label\" x=\"100%\" y=\"9\" dx=\"8\">x</text>\n");
    lorac_plot_text(&p, 0.5, 4.0, -8.0, true, "label", "up");
    same(&b, "<svg overflow=\"visible\" x=\"50%\" y=\"-8\"><text class=\"label\" "
             "transform=\"rotate(-90)\" y=\"4\">up</text></svg>\n");
    lorac_plot_end(&p);
    same(&b, "</svg></div>\n");
    lorac_buf_free(&b);
}

static void a_grid_has_lines_and_texts(void **state)
{
    (void)state;
    struct lorac_buf b = {0};
    struct lorac_plot p = {&b, {0.0, 4.0, false, true}, {0.0, 2.0, false, true}, 100, 0, 0, 0, 9,
                           0};
    static const char *const words[] = {"4", "<16>"};
    lorac_plot_grid(&p);
    same(&b, "<line class=\"grid\" x2=\"100%\" y1=\"100\" y2=\"100\"/>"
             "<text class=\"tick end\" x=\"-7\" y=\"104\">0</text>\n"
             "<line class=\"grid\" x2=\"100%\" y1=\"50\" y2=\"50\"/>"
             "<text class=\"tick end\" x=\"-7\" y=\"54\">1</text>\n"
             "<line class=\"grid\" x2=\"100%\" y1=\"0\" y2=\"0\"/>"
             "<text class=\"tick end\" x=\"-7\" y=\"4\">2</text>\n");
    p.x.to = 1.0;
    lorac_plot_steps(&p, "step");
    same(&b, "<line class=\"axis\" x1=\"0%\" x2=\"0%\" y1=\"100\" y2=\"104\"/>"
             "<text class=\"tick mid\" x=\"0%\" y=\"116\">step 0</text>\n"
             "<line class=\"axis\" x1=\"100%\" x2=\"100%\" y1=\"100\" y2=\"104\"/>"
             "<text class=\"tick mid\" x=\"100%\" y=\"116\">1</text>\n");
    lorac_plot_words(&p, words, 2);
    same(&b, "<text class=\"tick mid\" x=\"25%\" y=\"116\">4</text>\n"
             "<text class=\"tick mid\" x=\"75%\" y=\"116\">&lt;16&gt;</text>\n");
    lorac_buf_free(&b);
}

enum { MANY = 100000 };

static void a_curve_of_many_points_keeps_its_extremes(void **state)
{
    (void)state;
    struct lorac_buf b = {0};
    struct lorac_plot p = {&b, {0.0, MANY, false, true}, {-9.0, 9.0, false, false}, 180, 0, 0, 0, 9,
                           0};
    double *x = calloc(MANY, sizeof *x);
    double *y = calloc(MANY, sizeof *y);
    assert_true(x && y);
    for (size_t i = 0; i < MANY; i++) {
        x[i] = (double)i;
        y[i] = i % 2 ? 1.0 : -1.0;
    }
    y[777] = 8.0;
    y[51234] = -7.0;
    const struct lorac_curve c = {x, y, MANY};
    lorac_plot_line(&p, &c, "s1");
    assert_true(b.n < 40000);
    assert_non_null(strstr(b.at, " 10L"));                                                  // of 8
    assert_non_null(strstr(b.at, " 160L"));                                                 // of -7
    assert_null(strstr(b.at + 1, "M0 ") ? strstr(strstr(b.at + 1, "M0 ") + 1, "M") : NULL); // whole
    free(x);
    free(y);
    lorac_buf_free(&b);
}

static void what_is_not_finite_is_a_gap(void **state)
{
    (void)state;
    struct lorac_buf b = {0};
    struct lorac_plot p = {&b, {0.0, 8.0, false, true}, {0.0, 1.0, false, false}, 100, 0, 0, 0, 9,
                           0};
    const double no = (double)NAN;
    const double x[] = {0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0};
    const double y[] = {0.0, 1.0, no, 0.5, (double)INFINITY, 0.0, 1.0, no};
    const struct lorac_curve c = {x, y, 8};
    lorac_plot_line(&p, &c, "s1");
    assert_non_null(strstr(b.at, "d=\"M0 100L125 0M375 50h0M625 100L750 0\""));
    lorac_buf_clear(&b);
    lorac_plot_points(&p, &c, "s1", NULL);
    assert_null(strstr(b.at, "nan"));
    assert_null(strstr(b.at, "inf"));
    lorac_buf_clear(&b);
    const struct lorac_curve nothing = {x, y, 0};
    lorac_plot_line(&p, &nothing, "s1");
    assert_non_null(strstr(b.at, "d=\"\""));
    lorac_buf_free(&b);
}

static void names_do_not_touch(void **state)
{
    (void)state;
    struct lorac_buf b = {0};
    struct lorac_plot p = {&b, {0.0, 1.0, false, true}, {0.0, 1.0, false, false}, 100, 0, 0, 0, 9,
                           0};
    struct lorac_plot_name names[] = {
        {"low", "s1", 1.0, 0.0}, {"high", "s2", 1.0, 0.01}, {"top", "s3", 0.5, 0.9}};
    lorac_plot_names(&p, names, 3);
    same(&b, "<text class=\"name s3\" dx=\"8\" x=\"50%\" y=\"14\">top</text>\n"
             "<text class=\"name s2\" dx=\"8\" x=\"100%\" y=\"90\">high</text>\n"
             "<text class=\"name s1\" dx=\"8\" x=\"100%\" y=\"104\">low</text>\n");
    struct lorac_plot_name high[] = {{"b", "s1", 1.0, 0.99}, {"a", "s2", 1.0, 1.0}};
    lorac_plot_names(&p, high, 2);
    same(&b, "<text class=\"name s2\" dx=\"8\" x=\"100%\" y=\"4\">a</text>\n"
             "<text class=\"name s1\" dx=\"8\" x=\"100%\" y=\"18\">b</text>\n");
    lorac_buf_free(&b);
}

static void text_is_harmless(void **state)
{
    (void)state;
    struct lorac_buf b = {0};
    static const char hostile[] =
        "<script>&\"'\x01\x7F\xFF\xC3\xE2\x80\xAE" // RIGHT-TO-LEFT OVERRIDE
        "\t\n\xC3\xA8\xF0\x9F\x98\x80\0z";
    lorac_html_bytes(&b, hostile, sizeof hostile - 1);
#define NONE "\xEF\xBF\xBD"
    same(&b, "&lt;script&gt;&amp;&quot;&#39;" NONE NONE NONE NONE NONE
             "\t\n\xC3\xA8\xF0\x9F\x98\x80" NONE "z");
    lorac_html(&b, "<b>%s</b> & %s", "<i>", "");
    same(&b, "<b>&lt;i&gt;</b> & ");
    lorac_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_are_round_and_told_apart),
        cmocka_unit_test(an_axis_shows_what_was_added),
        cmocka_unit_test(pictures_are_these_bytes),
        cmocka_unit_test(a_grid_has_lines_and_texts),
        cmocka_unit_test(a_curve_of_many_points_keeps_its_extremes),
        cmocka_unit_test(what_is_not_finite_is_a_gap),
        cmocka_unit_test(names_do_not_touch),
        cmocka_unit_test(text_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
