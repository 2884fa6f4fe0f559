"""The command line: collect what was asked, call one function of the package, print."""
