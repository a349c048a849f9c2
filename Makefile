# The same words as ./botctl, for those whose fingers say make. Arguments: make test ARGS="tests/unit -k stop"
.PHONY: run test check bench fmt lock
run test check bench fmt lock:
	@./botctl $@ $(ARGS)
