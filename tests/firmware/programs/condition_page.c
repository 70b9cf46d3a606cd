/* IT blocks that lie across the end of a page (1 KB for unicorn), where a translated block ends;
   their 32-bit instructions make it end before the page does, and one instruction later again.
 */
#include "board.h"

#define PAGE 1024u

/* Five 32-bit additions, of which the IT instruction covers four; `before` halfwords of it and them
   lie before the end of a page. `name` is what stands before: `entry` finds the function.
 */
#define ACROSS(name, before) \
    __attribute__((naked, noinline)) uint32_t name(uint32_t left, uint32_t right) \
    { \
        __asm volatile(".balign 1024\n .space 1024 - 2 * " #before " - 6\n" \
                       "mov r3, r0\n movs r0, #0\n cmp r3, r1\n" \
                       "ittee lt\n addlt.w r0, #1\n addlt.w r0, #2\n" \
                       "addge.w r0, #4\n addge.w r0, #8\n" \
                       "add.w r0, #16\n bx lr\n"); \
    }


ACROSS(across_0, 0)
ACROSS(across_1, 1)
ACROSS(across_2, 2)
ACROSS(across_3, 3)
ACROSS(across_4, 4)
ACROSS(across_5, 5)
ACROSS(across_6, 6)
ACROSS(across_7, 7)
ACROSS(across_8, 8)
ACROSS(across_9, 9)
ACROSS(across_10, 10)

typedef uint32_t (*function)(uint32_t, uint32_t);

static const function functions[] = {
    across_0, across_1, across_2, across_3, across_4, across_5,
    across_6, across_7, across_8, across_9, across_10,
};

static function entry(uint32_t before)
{
    uint32_t page = ((uint32_t)functions[before] + PAGE - 1) / PAGE * PAGE;
    return (function)((page + PAGE - 2 * before - 6) | 1);
}

int main(void)
{
    uint32_t right = 0;
    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t before = 0; before < 11; before++) {
            right += entry(before)(1, 2) == 1 + 2 + 16;
            right += entry(before)(2, 1) == 4 + 8 + 16;
        }
    put_number(right);
    put(right == 44 ? "PASS\n" : "FAIL\n");
    return 0;
}
