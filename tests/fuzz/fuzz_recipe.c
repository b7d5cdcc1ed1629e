/* fuzz_recipe.c - any bytes as a recipe: no crash, and what is accepted survives write and read. */
#include "base/core/buf.h"
#include "recipes/language/recipe.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lorac_recipe *recipe = NULL;
    struct lorac_recipe *again = NULL;
    struct lorac_buf first = {0};
    struct lorac_buf second = {0};
    struct lorac_err err = {0};
    enum lorac_status st = lorac_recipe_parse(&recipe, (const char *)data, size, "recipe.yaml",
                                              NULL, NULL, 0, NULL, &err);
    if (st) {
        if (!recipe && err.text[0]) { return 0; }
        abort(); // refused without a reason
    }
    lorac_recipe_resolved(&first, recipe);
    if (first.n <= LORAC_RECIPE_MAX_BYTES) {
        st = lorac_recipe_parse(&again, first.at, first.n, "resolved.yaml", NULL, NULL, 0, NULL,
                                &err);
        if (st) { abort(); }
        lorac_recipe_resolved(&second, again);
        if (first.n != second.n || memcmp(first.at, second.at, first.n) != 0) { abort(); }
        lorac_recipe_diff(&second, recipe, again);
        if (second.n != first.n) { abort(); } // two readings of one recipe do not differ
    }
    lorac_buf_free(&second);
    lorac_buf_free(&first);
    lorac_recipe_free(again);
    lorac_recipe_free(recipe);
    return 0;
}
