"""What readers call the layouts they recognise; expected counts and tests refer to them by these names."""

FERPLUS_FOLDERS = "PNG folders with label.csv"
FERPLUS_PAIR = "fer2013.csv with fer2013new.csv"
RAFDB_LIST = "list file with Image/aligned"
RAFDB_FLAT = "list file with train/ and valid/ folders"
AFFECTNET_CSV = "csv release with face boxes"
AFFECTNET_NPY = "npy release"
CLASS_FOLDERS = "class folders"
TABLE = "csv table (path, label)"
FACS = "rendered"

#: Files and folders that give a dataset away -> what people call it, and the choice of ``dataset=``.
SIGNATURES = {
    ("FER2013Train", "FER2013Valid", "FER2013Test", "fer2013new.csv"): ("FERPlus", "ferplus"),
    ("EmoLabel", "list_patition_label.txt", "list_partition_label.txt"): ("RAF-DB", "rafdb"),
    ("train_set", "val_set", "valid_set", "Manually_Annotated_Images"): ("AffectNet", "affectnet8"),
}
