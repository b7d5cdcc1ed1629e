/* classify.c - likelihoods of an adapter's labels, or its answer: classify MODEL ADAPTER TEXT...
 * A template of several variables takes as many texts, in the order in which its prompt has them.
 */
#include <lorac/base.h>
#include <lorac/recipes.h>
#include <stdio.h>

static enum lorac_status classify(const char *model, const char *adapter, const char *const *texts,
                                  size_t n, struct lorac_err *err)
{
    struct lorac_predictor *p = NULL;
    struct lorac_answer answer = {0};
    enum lorac_status st = lorac_predictor_open(&p, model, adapter, err);
    if (!st) { st = lorac_predictor_ask(&answer, p, texts, n, err); }
    for (size_t i = 0; !st && i < lorac_predictor_labels(p); i++) {
        const struct lorac_ranked *r = &answer.ranked[i];
        printf("%.4f  %s\n", r->probability, lorac_predictor_label(p, r->k));
    }
    if (!st && !answer.ranked) { printf("%s\n", answer.text.at ? answer.text.at : ""); }
    lorac_answer_free(&answer);
    lorac_predictor_free(p);
    return st;
}

int main(int argc, char **argv)
{
    lorac_start(argv); // threads that wait without spinning: before anything else
    struct lorac_err err = {0};
    if (argc < 4) {
        fprintf(stderr, "usage: classify MODEL ADAPTER TEXT...\n");
        return 2;
    }
    const char *const *texts = (const char *const *)argv + 3;
    if (classify(argv[1], argv[2], texts, (size_t)argc - 3, &err)) {
        fprintf(stderr, "classify: %s\n", err.text);
        return 1;
    }
    return 0;
}
