/* main.c - lorac_bench: finds what is to be measured and measures it; see bench.h. */
#include "tools/bench/bench.h"

#include <stdio.h>
#include <string.h>

static const struct verb *const verbs[] = {
    &verb_bench_ops,   &verb_bench_step,   &verb_bench_prompt,  &verb_bench_decode,
    &verb_bench_start, &verb_bench_labels, &verb_bench_tokenize};
enum { N_VERBS = sizeof verbs / sizeof verbs[0] };

static void help(FILE *to)
{
    fprintf(to,
            "lorac_bench: how fast lorac is on this machine, against what the machine can do\n\n"
            "usage: lorac_bench WHAT ...   lorac_bench WHAT --help shows its options\n\n");
    for (size_t i = 0; i < N_VERBS; i++) {
        fprintf(to, "  %-8s %s\n", verbs[i]->name, verbs[i]->summary);
    }
    fprintf(to, "\nThings are measured by turns, a round after the other, and compared within a\n"
                "round: ratios of one run, as medians of all rounds. --json is for programs.\n"
                "On a machine that others use look at the spread, and measure again.\n");
}

int main(int argc, char **argv)
{
    lorac_start(argv);
    lorac_mem_serve_json();
    if (argc < 2) {
        help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        help(stdout);
        return 0;
    }
    for (size_t i = 0; i < N_VERBS; i++) {
        struct args a;
        struct lorac_err err = {0};
        if (strcmp(argv[1], verbs[i]->name) != 0) { continue; }
        if (args_parse(&a, verbs[i], argc - 2, argv + 2, &err)) {
            fprintf(stderr, "lorac_bench: %s\n", err.text);
            return EXIT_USAGE;
        }
        if (a.help) {
            args_help(verbs[i]);
            return 0;
        }
        machine_warn();
        return verbs[i]->run(&a);
    }
    fprintf(stderr, "lorac_bench: there is no '%s'; lorac_bench --help lists what there is\n",
            argv[1]);
    return EXIT_USAGE;
}
