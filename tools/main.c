/* main.c - lorac: finds the verb and runs it. */
#include "tools/pages.h"
#include "tools/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct verb *const verbs[] = {
    &verb_plan,   &verb_train,   &verb_eval,     &verb_predict,   &verb_generate, &verb_score,
    &verb_merge,  &verb_inspect, &verb_tokenize, &verb_tokenizer, &verb_recipe,   &verb_diff,
    &verb_report, &verb_init,    &verb_next,     &verb_compare,   &verb_prompt,   &verb_chat,
    &verb_serve,  &verb_sweep,   &verb_runs,     &verb_embed,
};
enum { N_VERBS = sizeof verbs / sizeof verbs[0] };

static void help(FILE *to)
{
    fprintf(to,
            "lorac %s: LoRA fine-tuning of pretrained transformers on the machine you have\n\n"
            "usage: lorac VERB ...        lorac VERB --help shows a verb's options\n\n",
            LORAC_VERSION);
    for (size_t i = 0; i < N_VERBS; i++) {
        fprintf(to, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
    }
    fprintf(to, "\nstart here:\n"
                "  lorac recipe init --model DIR --csv FILE --out mine.yaml\n"
                "                                        a recipe for your table\n"
                "  lorac plan mine.yaml                  what would it do, does it fit?\n"
                "  lorac train mine.yaml                 adapt its model to its table\n"
                "  lorac eval runs/mine                  how good is the result?\n\n"
                "exit codes: 0 success, 1 failed, 2 wrong usage, 130 or 143 stopped by a signal\n"
                "with all saved\n");
}

/* What was printed must have got there: a full disk is a failure, too. */
static int flushed(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) { return code; }
    fprintf(stderr, "lorac: cannot write to standard output\n");
    return code ? code : EXIT_FAILED;
}

int main(int argc, char **argv)
{
    lorac_start(argv);
    lorac_mem_serve_json();
    struct lorac_err err = {0};
    struct args a;
    if (argc < 2) {
        help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        help(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("lorac %s\n", LORAC_VERSION);
        return 0;
    }
    if (strcmp(argv[1], "--pages") == 0 && argc == 3) { // the build asks for them
        return pages_write(argv[2], verbs, N_VERBS, &err) ? complain(&err) : 0;
    }
    for (size_t i = 0; i < N_VERBS; i++) {
        if (strcmp(argv[1], verbs[i]->name) != 0) { continue; }
        bool wrong = args_parse(&a, verbs[i], argc - 2, argv + 2, &err) != LORAC_OK;
        if (!wrong && a.help) {
            args_help(verbs[i]);
            return 0;
        }
        bool alone = world_begin(verbs[i], wrong ? NULL : &err) != LORAC_OK;
        if (!wrong && !alone) { return world_end(flushed(verbs[i]->run(&a))); }
        (void)complain(&err);
        return world_end(wrong ? EXIT_USAGE : EXIT_FAILED);
    }
    char hint[64];
    struct lorac_near near = {.word = argv[1], .most = 1};
    for (size_t i = 0; i < N_VERBS; i++) {
        (void)lorac_near_try(&near, verbs[i]->name);
    }
    fprintf(stderr, "lorac: there is no verb '%s'%s; lorac --help lists them\n", argv[1],
            lorac_near_hint(hint, sizeof hint, near.best));
    return EXIT_USAGE;
}
