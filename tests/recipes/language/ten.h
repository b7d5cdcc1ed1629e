/* ten.h - a recipe of ten lines, and how tests of its language read one. */
#ifndef LORAC_TESTS_TEN_H
#define LORAC_TESTS_TEN_H

#include "recipes/language/recipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char TEN[] = "recipe: 1\n"
                          "model: {path: ../base/models/small}\n"
                          "data: {train: reviews.csv}\n"
                          "template:\n"
                          "  prompt: \"Review: {text}\\nSentiment:\"\n"
                          "  completion: \" {label}\"\n";

static inline struct lorac_recipe *parse(const char *text, const struct lorac_recipe_set *sets,
                                         size_t n)
{
    struct lorac_recipe *r = NULL;
    struct lorac_err err = {0};
    if (lorac_recipe_parse(&r, text, strlen(text), "ten.yaml", "/r", sets, n, NULL, &err)) {
        fail_msg("%s", err.text);
    }
    return r;
}

#endif
