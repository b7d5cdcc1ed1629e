/*
 * Module matching. What is promised:
 *   - the rules are PEFT's: suffix lists, full-match patterns, all-linear, exclusions, layers,
 *     overrides;
 *   - every target, exclusion, layer and override must have an effect, or the message names it and
 *     what is near; so does a pattern that is wrong, or that takes too long;
 *   - no failed allocation goes unreported.
 */
#include "base/core/mem.h"
#include "lora/lora.h"
#include "lora/pattern.h"
#include "tests/support/faults.h"
#include "tests/support/modules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { L = 12, N = 7 * L + 1, ALL = N + 2 * L + 2 };

static struct lorac_model model;
static struct lorac_match match[ALL];

static const struct lorac_match *at(size_t layer, const char *kind)
{
    return &match[modules_layer(&model, layer, kind)];
}

static struct lorac_adapter_options plain(void)
{
    return (struct lorac_adapter_options){.rank = 8, .alpha = 16};
}

/* Number of adapted modules; the matching must succeed. */
static size_t count(const struct lorac_adapter_options *o)
{
    struct lorac_err err = {0};
    size_t n = 0;
    if (lorac_match_modules(match, &model, o, &err)) { fail_msg("%s", err.text); }
    for (size_t i = 0; i < ALL; i++) {
        n += match[i].rank > 0;
    }
    return n;
}

static void expect(const struct lorac_adapter_options *o, const char *text)
{
    struct lorac_err err = {0};
    assert_int_equal(lorac_match_modules(match, &model, o, &err), LORAC_EUSER);
    assert_string_equal(err.text, text);
}

static void without_targets_it_is_every_linear_layer_but_the_head(void **state)
{
    (void)state;
    struct lorac_adapter_options o = plain();
    assert_int_equal(count(&o), N - 1);
    assert_int_equal(match[model.head].rank, 0);
    assert_int_equal(at(0, "self_attn.q_proj")->rank, 8);
    assert_true(at(0, "self_attn.q_proj")->alpha == 16);
}

static void a_name_matches_whole_or_after_a_dot(void **state)
{
    (void)state;
    struct lorac_adapter_options o = plain();
    static const struct {
        const char *target;
        size_t n;
    } cases[] = {
        {"q_proj", L},
        {"self_attn.q_proj", L},
        {"layers.1.self_attn.q_proj", 1},
        {"model.layers.1.mlp.up_proj", 1},
        {"lm_head", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        o.targets = &cases[i].target;
        o.n_targets = 1;
        assert_int_equal(count(&o), cases[i].n);
    }
}

static void a_target_that_matches_nothing_names_its_neighbours(void **state)
{
    (void)state;
    static const struct {
        const char *target, *near;
    } cases[] = {
        {"q_prj", "q_proj, k_proj, v_proj, o_proj"},
        {"proj", "q_proj, k_proj, v_proj, o_proj, up_proj"}, // no part of a component
        {"selfattn.q_proj",
         "self_attn.q_proj, self_attn.k_proj, self_attn.v_proj, self_attn.o_proj"},
        {"lmhead", "lm_head"},
        {"", "q_proj, k_proj, v_proj, o_proj, up_proj"},
        {"_proj", "q_proj, k_proj, v_proj, o_proj, up_proj"},
    };
    struct lorac_adapter_options o = plain();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[300];
        const char *targets[] = {"v_proj", cases[i].target};
        o.targets = targets;
        o.n_targets = 2;
        (void)snprintf(text, sizeof text,
                       "adapter.targets: '%s' matches no module; the nearest are %s",
                       cases[i].target, cases[i].near);
        expect(&o, text);
    }
}

static void a_pattern_must_match_the_whole_name(void **state)
{
    (void)state;
    static const struct {
        const char *regex;
        size_t n;
    } cases[] = {
        {".*_proj", N - 1},
        {".*\\.[qv]_proj", 2 * L},
        {"model\\.layers\\.(0|11)\\.mlp\\.(?:up|down)_proj", 4},
        {".*layers\\.\\d\\..*k_proj", 10},
        {"lm_head", 1},
        {"(?!lm_head).*", N - 1},
        {"(?P<a>l)m_head", 1},
        {".*?q_proj", L},
        {"model|lm_head", 1}, // an alternative that fits only in part does not stop the next
    };
    struct lorac_adapter_options o = plain();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        o.regex = cases[i].regex;
        assert_int_equal(count(&o), cases[i].n);
    }
    o.regex = "q_proj";
    expect(&o,
           "adapter.targets: 'q_proj' matches no module; the nearest are q_proj, k_proj, v_proj, "
           "o_proj");
}

static void a_pattern_that_is_wrong_or_slow_is_an_error(void **state)
{
    (void)state;
    static const struct {
        const char *regex, *text;
    } cases[] = {
        {"(q_proj",
         "adapter.targets: '(q_proj' is no regular expression that is understood: missing "
         "closing parenthesis at character 7"},
        {"(?L)q", "adapter.targets: '(?L)q' is no regular expression that is understood: "
                  "unrecognized character after (? or (?- at character 2"},
        {"a{,3}", "adapter.targets: the pattern 'a{,3}': '{,' has no fixed meaning: write {0,n}"},
        {"[[:alpha:]]",
         "adapter.targets: the pattern '[[:alpha:]]': '[[:' has no fixed meaning: write "
         "the characters out"},
        {"(.*.*)*(.*)*(.*)*[!?]",
         "adapter.targets: the pattern '(.*.*)*(.*)*(.*)*[!?]' takes too many steps on "
         "'model.layers.0.self_attn.q_proj': simplify it"},
    };
    struct lorac_adapter_options o = plain();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        o.regex = cases[i].regex;
        expect(&o, cases[i].text);
    }
}

static void layers_are_the_number_in_the_name(void **state)
{
    (void)state;
    struct lorac_adapter_options o = plain();
    o.layers = (const size_t[]){1, 11};
    o.n_layers = 2;
    assert_int_equal(count(&o), 14);
    const char *targets[] = {"q_proj", "lm_head", "model.layers.0.mlp.up_proj"};
    o.targets = targets;
    o.n_targets = 1;
    assert_int_equal(count(&o), 2);
    assert_int_equal(at(1, "self_attn.q_proj")->rank, 8);
    o.n_targets = 3; // a whole name counts whatever the layers are: PEFT's rule
    assert_int_equal(count(&o), 4);
    o.n_targets = 0;
    o.regex = ".*mlp.*|lm_head";
    assert_int_equal(count(&o), 6);
}

static void a_layer_without_effect_is_an_error(void **state)
{
    (void)state;
    struct lorac_adapter_options o = plain();
    o.layers = (const size_t[]){3, 12};
    o.n_layers = 2;
    expect(&o, "adapter.layers: there is no layer 12; the model has layers 0 to 11");
    const char *targets[] = {"layers.3.mlp.up_proj"};
    o.targets = targets;
    o.n_targets = 1;
    o.layers = (const size_t[]){3, 4};
    expect(&o, "adapter.layers: no module of layer 4 is a target");
    o.n_layers = 0;
    expect(&o, "adapter.layers: an empty list leaves no module");
}

static void exclusions_take_away(void **state)
{
    (void)state;
    struct lorac_adapter_options o = plain();
    const char *exclude[] = {"q_proj", "model.layers.0.mlp.up_proj"};
    o.exclude = exclude;
    o.n_exclude = 2;
    assert_int_equal(count(&o), 6 * L - 1);
    exclude[1] = "up_prj";
    expect(&o, "adapter.exclude: 'up_prj' matches no module; the nearest are up_proj");
    const char *targets[] = {"v_proj", "q_proj"};
    o.targets = targets;
    o.n_targets = 2;
    o.n_exclude = 1;
    expect(&o, "adapter.targets: all that 'q_proj' matches is left out by adapter.exclude or "
               "adapter.layers");
    o.n_targets = 0;
    o.regex = ".*q_proj";
    expect(&o, "adapter.targets: no module of the model is a target");
}

static void the_first_override_that_fits_wins_for_rank_and_alpha_apart(void **state)
{
    (void)state;
    struct lorac_adapter_options o = plain();
    const struct lorac_override overrides[] = {
        {"layers.1.mlp.up_proj", 2, 0}, // dots are any character, as in PEFT; not layers 11
        {".*mlp.*", 4, 3},
        {"^model.layers.0.self_attn.q_proj", 0, 5},
        {"q_proj|v_proj", 3, 7},
    };
    o.overrides = overrides;
    o.n_overrides = 4;
    assert_int_equal(count(&o), N - 1);
    assert_int_equal(at(1, "mlp.up_proj")->rank, 2);
    assert_true(at(1, "mlp.up_proj")->alpha == 3);
    assert_int_equal(at(11, "mlp.up_proj")->rank, 4);
    assert_int_equal(at(0, "self_attn.q_proj")->rank, 3);
    assert_true(at(0, "self_attn.q_proj")->alpha == 5);
    assert_int_equal(at(0, "self_attn.v_proj")->rank, 3);
    assert_true(at(0, "self_attn.v_proj")->alpha == 7);
    assert_true(at(0, "self_attn.k_proj")->alpha == 16);
    assert_int_equal(at(0, "self_attn.k_proj")->rank, 8);
}

static void an_override_without_effect_is_an_error(void **state)
{
    (void)state;
    struct lorac_adapter_options o = plain();
    struct lorac_override overrides[] = {{"q_proj", 2, 0}, {"k_prj", 2, 0}};
    o.overrides = overrides;
    o.n_overrides = 2;
    expect(&o,
           "adapter.overrides: 'k_prj' matches no adapted module; the nearest modules are k_proj, "
           "q_proj, v_proj, o_proj");
    overrides[1] = (struct lorac_override){"layers.3.self_attn.q_proj", 4, 0};
    expect(
        &o,
        "adapter.overrides: 'layers.3.self_attn.q_proj' is never used: earlier ones fit all that "
        "it fits");
    overrides[1] = (struct lorac_override){"v_proj", 0, 0};
    expect(&o, "adapter.overrides: 'v_proj' must give a rank from 1 to 4096 or an alpha above 0");
    overrides[1] = (struct lorac_override){"v_proj", 4097, 0};
    expect(&o, "adapter.overrides: 'v_proj' must give a rank from 1 to 4096 or an alpha above 0");
    overrides[1] = (struct lorac_override){"lm_head", 4, 0}; // a module, but not adapted
    expect(
        &o,
        "adapter.overrides: 'lm_head' matches no adapted module; the nearest modules are lm_head");
}

static void an_input_that_no_adapted_module_has_is_an_error(void **state)
{
    (void)state;
    static const char *const targets[] = {"k_proj", "down_proj"};
    const char *inputs[] = {"down_proj", "down_prj"};
    struct lorac_adapter_options o = {.method = "ia3", .targets = targets, .n_targets = 2};
    o.feedforward = inputs;
    o.n_feedforward = 2;
    expect(&o, "adapter.feedforward: 'down_prj' matches no adapted module; adapter.targets names "
               "them");
    inputs[1] = "up_proj"; // a module, but not adapted
    expect(&o, "adapter.feedforward: 'up_proj' matches no adapted module; adapter.targets names "
               "them");
    o.n_feedforward = 1;
    assert_int_equal(count(&o), 2 * L);
    assert_true(at(3, "mlp.down_proj")->input);
    assert_false(at(3, "self_attn.k_proj")->input);
}

static void ranks_and_alphas_out_of_range_are_refused(void **state)
{
    (void)state;
    struct lorac_adapter_options o = plain();
    o.rank = 0;
    expect(&o, "the rank must be from 1 to 4096, found 0");
    o.rank = 4097;
    expect(&o, "the rank must be from 1 to 4096, found 4097");
    o.rank = 4096;
    assert_int_equal(lorac_match_modules(match, &model, &o, NULL), LORAC_OK);
    o.rank = 8;
    o.alpha = -1;
    expect(&o, "alpha must be above 0, found -1");
    o.alpha = 0.0 / 0.0;
    struct lorac_err err = {0};
    assert_int_equal(lorac_match_modules(match, &model, &o, &err), LORAC_EUSER);
    o.alpha = 1;
    const char *targets[] = {"q_proj"};
    o.targets = targets;
    o.n_targets = 1;
    o.regex = ".*";
    expect(&o, "adapter.targets: a pattern and a list exclude each other");
}

static void no_failed_allocation_goes_unreported(void **state)
{
    (void)state;
    struct lorac_adapter_options o = plain();
    o.regex = ".*mlp.*";
    o.overrides = &(struct lorac_override){"up_proj", 4, 0};
    o.n_overrides = 1;
    long n = 0;
    for (;; n++) {
        struct lorac_err err = {0};
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = lorac_match_modules(match, &model, &o, &err);
        if (!faults_stop()) { break; }
        assert_int_equal(st, LORAC_ENOMEM);
        assert_non_null(strstr(err.text, "no memory"));
    }
    assert_true(n > 10); // PCRE2's blocks are among them
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_targets_it_is_every_linear_layer_but_the_head),
        cmocka_unit_test(a_name_matches_whole_or_after_a_dot),
        cmocka_unit_test(a_target_that_matches_nothing_names_its_neighbours),
        cmocka_unit_test(a_pattern_must_match_the_whole_name),
        cmocka_unit_test(a_pattern_that_is_wrong_or_slow_is_an_error),
        cmocka_unit_test(layers_are_the_number_in_the_name),
        cmocka_unit_test(a_layer_without_effect_is_an_error),
        cmocka_unit_test(exclusions_take_away),
        cmocka_unit_test(the_first_override_that_fits_wins_for_rank_and_alpha_apart),
        cmocka_unit_test(an_override_without_effect_is_an_error),
        cmocka_unit_test(an_input_that_no_adapted_module_has_is_an_error),
        cmocka_unit_test(ranks_and_alphas_out_of_range_are_refused),
        cmocka_unit_test(no_failed_allocation_goes_unreported),
    };
    model = modules_llama(L, false);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    modules_free(&model);
    return failed;
}
