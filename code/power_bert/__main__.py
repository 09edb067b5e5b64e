from power_bert.cli import main

main()
