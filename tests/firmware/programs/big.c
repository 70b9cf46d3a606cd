/* More than the flash or the SRAM holds, as an option asks for. */
#include "board.h"

#ifdef BIG_FLASH
const unsigned char big_table[BIG_FLASH] = {1, 2, 3};
#endif
#ifdef BIG_SRAM
unsigned char big_buffer[BIG_SRAM];
#endif

int main(void)
{
    return 0;
}
